"""A model cut in two: a chip owns attention, gate, embeddings and KV; a shard owns experts."""
