"""Many machines: nodes of a cluster as actors of a Ray cluster."""
