"""The report page: its parts, what they are read from, and the one HTML file they become."""
