"""Networks that take windows and give a class, one file each."""
