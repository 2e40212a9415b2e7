"""Prototypes that are heard."""
