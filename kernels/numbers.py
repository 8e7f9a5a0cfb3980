"""Number formats of weights and activations, plain: what the native code does, bit for bit.

bf16 has no numpy type and travels as uint16. Letters: N rows, K channels, G groups of GROUP
channels.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Kind = Literal["fp32", "bf16", "int8", "int4"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Channels that share a scale: what DeepEP and SGLang use for activations, and wide enough that
# int4's scale is 3 % of its bytes.
GROUP = 128
# Of functions that compute rows: a NaN or an infinity is a value of its own row, and no event. The
# library is silent by itself, and numpy's guard takes 2.5 us a call: references have it, callers of
# the library do not.
quiet = np.errstate(invalid="ignore", over="ignore", divide="ignore")


def to_bf16(x: NDArray[Any]) -> NDArray[np.uint16]:
    """float32 to bf16 bits, rounded to nearest even; NaN stays NaN."""
    floats = np.ascontiguousarray(x, dtype=np.float32)
    bits = floats.view(np.uint32)
    with np.errstate(over="ignore"):
        rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    quieted = bits | np.uint32(0x400000)
    return (np.where(np.isnan(floats), quieted, rounded) >> np.uint32(16)).astype(np.uint16)


def from_bf16(bits: NDArray[np.uint16]) -> Floats:
    """The reverse, exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def floats_of(weight: NDArray[Any], name: str) -> Floats:
    """float32, or bf16 as uint16, as float32. Raises ValueError on another dtype or shape."""
    if weight.ndim != 2 or weight.dtype not in (np.float32, np.uint16):
        raise ValueError(
            f"{name} has shape {weight.shape} and dtype {weight.dtype}; it must have 2 dimensions "
            f"and be float32, or bf16 as uint16"
        )
    return from_bf16(weight) if weight.dtype == np.uint16 else weight


def check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def groups(channels: int) -> int:
    return -(-channels // GROUP)


def grouped(x_NK: Floats, group: int = GROUP) -> NDArray[np.float32]:
    """[N, G, group], zeros past the end."""
    rows, channels = x_NK.shape
    num = -(-channels // group)
    out = np.zeros((rows, num * group), dtype=np.float32)
    out[:, :channels] = x_NK
    return out.reshape(rows, num, group)


def int8_rows(x_NK: Floats, group: int = GROUP) -> tuple[NDArray[np.int8], Floats]:
    """Symmetric int8: codes [N, G, group] and scales [N, G], of which a group's largest is 127."""
    parts = grouped(x_NK, group)
    largest = np.abs(parts).max(axis=-1, initial=np.float32(0))
    scales = (largest / np.float32(127)).astype(np.float32)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    codes = np.clip(np.rint(parts * inverse[..., None]), -127, 127)
    return codes.astype(np.int8), scales


def scaled(codes: NDArray[np.int8], scales: Floats, channels: int) -> Floats:
    """What codes [N, G, group] with scales [N, G] stand for, [N, channels]."""
    rows, num, group = codes.shape
    whole = (codes.astype(np.float32) * scales[..., None]).reshape(rows, num * group)
    return np.ascontiguousarray(whole[:, :channels])


@dataclass(frozen=True)
class Matrix:
    """A weight matrix [N, K] as a kind stores it: `values` are fp32 or codes, scales by group."""

    kind: str
    shape: tuple[int, int]
    values: NDArray[Any]
    scales: Floats

    def floats(self) -> Floats:
        """[N, K] float32: what the stored numbers stand for."""
        if self.kind in ("fp32", "bf16"):
            return np.asarray(self.values, dtype=np.float32)
        return scaled(self.values, self.scales, self.shape[1])


def matrix(weight: NDArray[Any], kind: str, name: str) -> Matrix:
    """Stores a weight as `kind` does. Raises ValueError where int8 or int4 meet NaN or infinity."""
    check_kind(kind)
    floats = floats_of(weight, name)
    shape = (floats.shape[0], floats.shape[1])
    if kind == "fp32":
        return Matrix(kind, shape, floats.copy(), np.empty(0, np.float32))
    if kind == "bf16":
        return Matrix(kind, shape, from_bf16(to_bf16(floats)), np.empty(0, np.float32))
    if not np.isfinite(floats).all():
        raise ValueError(f"{name}: weights for int8 and int4 must be finite")
    if kind == "int8":
        codes, scales = int8_rows(floats, shape[1])
        return Matrix(kind, shape, codes, scales)
    parts = grouped(floats)
    place = np.abs(parts).argmax(axis=-1)[..., None]
    extreme = np.take_along_axis(parts, place, axis=-1)[..., 0]
    steps = from_bf16(to_bf16(extreme / np.float32(-8)))
    inverse = np.divide(np.float32(1), steps, out=np.zeros_like(steps), where=steps != 0)
    quarter = np.clip(np.rint(parts * inverse[..., None]) + 8, 0, 15) - 8
    return Matrix(kind, shape, quarter.astype(np.int8), steps)


def product(x_TK: Floats, weight: Matrix) -> Floats:
    """x @ weight.T, [T, N] float32; a row's bits do not depend on the rows beside it.

    Activations are rounded as the kind asks; sums are float64.
    """
    if weight.kind == "bf16":
        x_TK = from_bf16(to_bf16(x_TK))
    elif weight.kind in ("int8", "int4"):
        x_TK = scaled(*int8_rows(x_TK), weight.shape[1])
    wide = weight.floats().astype(np.float64)
    out = np.empty((x_TK.shape[0], weight.shape[0]), dtype=np.float32)
    for row, x_K in enumerate(x_TK):  # one shape of product, whatever the batch
        out[row] = wide @ x_K.astype(np.float64)
    return out
