"""What tests of the Triton twins share: they skip where triton is not; arrays as tensors."""

import os

import numpy as np
import pytest
import torch

from kernels.numbers import to_bf16

# 3.6's interpreter takes int() of arrays, which NumPy 2.4 refuses.
NEEDED = "the GPU twins need Triton 3.7 or newer, which is not installed (extra [triton])"
pytest.importorskip("triton", minversion="3.7", reason=NEEDED)

# A GPU's own rounding and scheduling with TRITON_INTERPRET=0, numpy's without.
DEVICE = "cuda" if os.environ.get("TRITON_INTERPRET") == "0" else "cpu"
# The interpreter computes in numpy, which warns of infinities that a GPU passes over; the compiler
# of Triton 3.9 warns of what 3.10 will fuse.
quietly = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning"),
]


def tensor(array, kind="fp32"):
    """float32 and integers as they are; kind bf16 rounds."""
    if kind == "bf16":
        bits = torch.from_numpy(to_bf16(array).view(np.int16))
        return bits.view(torch.bfloat16).to(DEVICE)
    return torch.from_numpy(np.array(array)).to(DEVICE)


def array(tensor):
    return tensor.cpu().numpy()


def misaligned(tensor):
    """The same values, one element off every boundary."""
    room = torch.empty(tensor.numel() + 1, dtype=tensor.dtype, device=tensor.device)
    view = room[1:].view(tensor.shape)
    return view.copy_(tensor)


def strided(tensor):
    """The same values with gaps in every dimension."""
    room = torch.empty([2 * n for n in tensor.shape], dtype=tensor.dtype, device=tensor.device)
    view = room[tuple(slice(None, None, 2) for _ in tensor.shape)]
    return view.copy_(tensor)
