"""Prototypes: what a class sounds like, and how it may change from sound to sound."""
