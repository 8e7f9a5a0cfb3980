"""The hot path beside the memory it reads, and beside torch."""
