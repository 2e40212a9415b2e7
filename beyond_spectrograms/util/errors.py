"""The error that ends a program with a line that says what to do, and no traceback."""


class ProjectError(Exception):
    """Data, params, weights or results are not what they should be; the message says what to do."""
