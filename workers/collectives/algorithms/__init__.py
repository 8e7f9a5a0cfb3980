"""Who sends what to whom in which round: one file an algorithm, pure, for any number of ranks."""
