"""What the Triton twins share. Importing this needs torch and triton; nothing else here does.

A twin (`kernels/*/twin.py`) is an op's GPU version, on torch tensors. It is checked on any machine
through Triton's interpreter: set TRITON_INTERPRET=1 before the first import of triton.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

# Programs that find room on one multiprocessor at a time, with the tiles that the twins choose.
PROGRAMS_PER_MULTIPROCESSOR = 2
INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
# What the interpreter pretends to be: few, so that tests see several splits and several waves.
INTERPRETED_MULTIPROCESSORS = 4
# flash-attention's num_splits_heuristic: 85 % of the best, 128 parts at most.
WAVE_SHARE, PARTS_MAX = 0.85, 128


def jit(function: Callable[..., Any]) -> Any:
    """triton.jit with a type: `kernel[grid](...)` is nothing that mypy could check."""
    return triton.jit(function)


@jit
def rounded(x: tl.tensor, dtype: tl.constexpr) -> tl.tensor:
    """float32 or bf16 as `dtype`, to nearest even. The interpreter alone cuts low bits off."""
    if INTERPRETED and x.dtype == tl.float32 and dtype == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        near = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        x = tl.where(x == x, near.to(tl.float32, bitcast=True), x)
    return x.to(dtype)


@jit
def dot(a: tl.tensor, b: tl.tensor, sums: tl.tensor) -> tl.tensor:
    """a @ b + sums in float32. The interpreter would multiply bf16's bits as whole numbers."""
    if INTERPRETED:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, sums, input_precision="ieee")


def cdiv(amount: int, step: int) -> int:
    return -(-amount // step)


def power_of_2(size: int, least: int = 1) -> int:
    """The next power of 2 from `size` on, and from `least` on: tl.dot takes 16 and more."""
    return max(least, 1 << max(size - 1, 0).bit_length())


@cache
def _multiprocessors(index: int) -> int:
    return torch.cuda.get_device_properties(index).multi_processor_count


def wave(device: torch.device) -> int:
    """Programs that run at the same time; `device` is a tensor's, so it has an index."""
    if device.type != "cuda":
        return PROGRAMS_PER_MULTIPROCESSOR * INTERPRETED_MULTIPROCESSORS
    return PROGRAMS_PER_MULTIPROCESSOR * _multiprocessors(device.index)


def num_splits(device: torch.device, programs: int, longest: int, least: int) -> int:
    """Parts of each context, none shorter than `least` where all are `longest`.

    The fewest with which the last wave is nearly full, so that no multiprocessor waits for others;
    where programs are few, about one wave.
    """
    at_once, best, best_share = wave(device), 1, 0.0
    for parts in range(1, min(cdiv(longest, least), PARTS_MAX) + 1):
        waves = cdiv(programs * parts, at_once)
        share = programs * parts / (waves * at_once)
        if share > best_share:
            best, best_share = parts, share
        if share >= WAVE_SHARE:
            break
    return best


def check_tensor(
    name: str,
    tensor: torch.Tensor,
    shape: Sequence[int | None],
    dtypes: Sequence[torch.dtype],
    device: torch.device | None = None,
) -> None:
    """Raises ValueError unless shape (None: any size), dtype and device are as asked."""
    sizes = tuple(tensor.shape)
    fits = len(sizes) == len(shape)
    if not fits or any(w is not None and w != s for w, s in zip(shape, sizes, strict=True)):
        asked = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {sizes}; it must be ({asked})")
    if tensor.dtype not in dtypes:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise ValueError(
            f"{name} is {str(tensor.dtype).removeprefix('torch.')}; it must be {names}"
        )
    if device is not None and tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}; it must be on {device}")


def without_gaps(x: torch.Tensor) -> torch.Tensor:
    """As it is where its last dimension has no gaps, else a copy."""
    return x if x.stride(-1) == 1 else x.contiguous()


INTEGERS = (torch.int32, torch.int64)
FLOATS = (torch.bfloat16, torch.float32)
