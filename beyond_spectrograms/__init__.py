"""Do the latents of a neural audio codec beat spectrograms for classifying sound? The nouns; `stages` has the verbs."""
