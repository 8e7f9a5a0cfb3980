"""Models of which nothing is computed: true messages, charges and work, no values."""
