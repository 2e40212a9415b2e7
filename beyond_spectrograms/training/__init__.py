"""From a feature file to weights: to follow a batch, read run.py, epoch.py and loop.py.

run.py says what a run is: its rows, its seeded network, its result on disk. epoch.py reads windows from the feature
file, makes batches of them and takes the steps of an epoch. loop.py goes from epoch to epoch, stops, and writes.
trainers/ has what single classifiers do differently in an epoch; multi_run.py trains many runs at once on a GPU.
"""
