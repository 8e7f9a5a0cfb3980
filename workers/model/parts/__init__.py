"""Parts that the plain models and those on the kernels share: norms, rotary positions, gates."""
