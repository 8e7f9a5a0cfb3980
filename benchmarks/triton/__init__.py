"""GPU twins of the kernels beside the chip's own copy bandwidth."""
