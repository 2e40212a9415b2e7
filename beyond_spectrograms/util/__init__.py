"""What every other package uses: errors, files, checkpoints, progress, memory, threads, versions of code."""
