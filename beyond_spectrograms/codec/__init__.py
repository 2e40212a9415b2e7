"""A neural audio codec of our own: its network, the losses that train it, its training, and how good it is."""
