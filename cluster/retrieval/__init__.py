"""Documents as passages and vectors, and which memory server holds which."""
