"""A local page to try a model: drop or record a sound, see and hear what is where in it."""
