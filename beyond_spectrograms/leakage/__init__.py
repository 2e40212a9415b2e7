"""Leakage audit: recordings that are in two parts of a split, and what file-level cues alone give away."""
