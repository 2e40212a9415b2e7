"""From a URL to windows: downloads, archives, sounds, clips, windows and their parts."""
