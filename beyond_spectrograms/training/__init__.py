"""From a feature file to weights: to follow a batch, read run.py, epoch.py and loop.py."""
