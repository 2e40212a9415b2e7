"""Whether what is stored is still what was written: nothing is computed anew, every file is held against a digest."""
