"""Token all-to-all, and the shards that own some experts of every layer."""
