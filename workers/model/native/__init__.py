"""The model on the native kernels: exact in fp32, fast in bf16, int8 and int4."""
