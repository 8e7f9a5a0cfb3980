"""Every kind of message that a chip, an expert shard or a memory server understands or sends."""
