"""What is wrong with a trace."""


class TraceError(ValueError):
    """A trace that cannot be read; the message begins with file and line."""
