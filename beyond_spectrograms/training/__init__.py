"""From feature files to weights: a run, its epochs, its loop."""
