"""Sonification: prototypes and what they make of clips, turned into sound, and a page that plays it."""
