"""Memory servers: retrieval shards that they scan near memory, and the pool of KV blocks."""
