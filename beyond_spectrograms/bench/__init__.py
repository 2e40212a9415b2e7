"""What `make bench` times: each of our paths and the plain way it replaces."""
