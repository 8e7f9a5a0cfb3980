"""Models of which nothing is computed."""
