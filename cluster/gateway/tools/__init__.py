"""Functions that a client offers the model: read, forced where it says so, and found in answers."""
