"""Models described by sizes alone: figures by hand and from the literature."""
