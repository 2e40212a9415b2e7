"""How a classifier learns in an epoch: the usual way, and those with ways of their own."""
