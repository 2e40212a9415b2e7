"""What stands in two parts at once, and what file-level cues alone give away."""
