"""Prototypes that are heard: spectra and latents made sound, and the page that plays them."""
