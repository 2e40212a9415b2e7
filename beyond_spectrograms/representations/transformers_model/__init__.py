"""Models of the transformers package as representations: encoders and codecs, by their architecture."""
