"""Memory measured: flash by formula, size, layout and wear; retrieval at scale; energy."""
