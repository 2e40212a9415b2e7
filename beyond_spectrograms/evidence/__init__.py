"""Figures of evidence."""
