"""Pieces of a stage's work, done on this machine or by workers of Dask."""
