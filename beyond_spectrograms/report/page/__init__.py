"""The report page: everything about a data set in one HTML file."""
