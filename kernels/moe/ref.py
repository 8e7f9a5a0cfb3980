"""Routed experts in numpy: what the native code must agree with, and what runs without it.

Letters: T tokens, H hidden, K experts a token, I inner width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.numbers import Floats, Matrix, matrix, product, quiet

# Contributions in exact mode are multiples of 1 / GRID: their float64 sum has no rounding and no
# order.
GRID = 2.0**32


@dataclass(frozen=True)
class Expert:
    gate: Matrix
    up: Matrix
    down: Matrix


def pack(gate_IH: NDArray[Any], up_IH: NDArray[Any], down_HI: NDArray[Any], kind: str) -> Expert:
    return Expert(
        matrix(gate_IH, kind, "gate_IH"),
        matrix(up_IH, kind, "up_IH"),
        matrix(down_HI, kind, "down_HI"),
    )


def silu_product(gate: Floats, up: Floats) -> Floats:
    """silu(gate) * up. exp overflows to infinity where silu is zero: that is the right limit."""
    with np.errstate(over="ignore"):
        below = np.float32(1) + np.exp(-gate)
    out: Floats = np.asarray(gate / below * up, dtype=np.float32)
    return out


@quiet
def forward(
    experts: Sequence[Expert | None],
    kind: str,
    hidden_TH: Floats,
    slots_TK: NDArray[Any],
    weights_TK: Floats,
) -> NDArray[Any]:
    """Weighted sums [T, H], float64 on the grid for fp32, else float32. Slot -1 adds nothing."""
    sums_TH = np.zeros(hidden_TH.shape, dtype=np.float64 if kind == "fp32" else np.float32)
    for slot, expert in enumerate(experts):
        tokens, places = np.nonzero(slots_TK == slot)
        if not tokens.size:
            continue
        if expert is None:
            raise ValueError(f"expert {slot} has no weights yet")
        rows = hidden_TH[tokens]
        inner = silu_product(product(rows, expert.gate), product(rows, expert.up))
        out = product(inner, expert.down)
        share = weights_TK[tokens, places, None]
        if kind == "fp32":
            scaled = np.multiply(out, share, dtype=np.float64)
            np.add.at(sums_TH, tokens, np.rint(scaled * GRID) / GRID)
        else:
            np.add.at(sums_TH, tokens, out * share)
    return sums_TH
