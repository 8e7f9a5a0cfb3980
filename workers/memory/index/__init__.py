"""How a shard finds: it scans all that it holds, or only inverted lists near the query."""
