"""Compiles the twins' kernels for a GPU on a machine that has none: see below.

Started by test_triton_compile.py in a process of its own, for Triton's compiler and interpreter
exclude each other. Each launch is compiled from its own arguments and left at that.
"""

import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

TARGET = GPUTarget("cuda", 90, 32)  # H100, H200


class NoGpu:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self):
        return TARGET

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0


def compile_only(run):
    def compiled(kernel, *args, grid, warmup, **options):
        binary = run(kernel, *args, grid=grid, warmup=True, **options)
        assert ".target sm_90" in binary.asm["ptx"]
        sys.stdout.write(f"{kernel.fn.__module__}.{kernel.fn.__name__}\n")

    return compiled


def launch_all():
    from kernels.attention import twin as attention
    from kernels.codec import row_bytes
    from kernels.codec import twin as codec
    from kernels.mla import twin as mla
    from kernels.moe import twin as moe

    bf16, int32 = torch.bfloat16, torch.int32

    def ids(*shape):
        return torch.zeros(shape, dtype=int32)

    codec.pack(torch.empty(4, 300), ids(4, 2), 2, check=False)
    codec.unpack(torch.empty(3, row_bytes(300), dtype=torch.uint8), 300, bf16)
    codec.reduce(torch.empty(3, 300), ids(3), ids(3), 4, 2, check=False)
    for dtype, limit in ((bf16, 100), (torch.float32, 0)):
        weights = torch.empty(4, 256, 128, dtype=dtype), torch.empty(4, 128, 128, dtype=dtype)
        tokens = torch.empty(2, 128), ids(2, 2), torch.empty(2, 2)
        moe.forward(*weights, *tokens, unsorted_pairs_max=limit)
    cache = torch.empty(4, 2, 16, 64, dtype=bf16)
    attention.decode(torch.empty(1, 8, 64), cache, cache, ids(1, 4), ids(1), splits=2)
    latent = torch.empty(4, 16, 80, dtype=bf16)
    mla.decode(torch.empty(1, 8, 80), latent, ids(1, 4), ids(1), latent=64, scale=1.0)


if __name__ == "__main__":
    driver.set_active(NoGpu())
    jit.JITFunction.run = compile_only(jit.JITFunction.run)
    launch_all()
