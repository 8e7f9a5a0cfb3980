"""Where keys and values live, and how they travel: blocks of a chip, the pool, the handover."""
