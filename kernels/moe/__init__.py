"""A layer's routed experts: gate, up, SwiGLU, down and the weighted sum in one call.

    experts = moe.Experts("bf16", num_experts, hidden, inner)
    experts.set(0, gate_IH, up_IH, down_HI)             # for each expert, once
    sums_TH = moe.forward(experts, hidden_TH, experts_TK, weights_TK)

Each active expert's weights are read once, whatever the batch; a token's bits do not depend on the
tokens beside it. Letters: T tokens, H hidden, K experts a token, I inner width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.moe import ref
from kernels.native import lib
from kernels.numbers import Floats, Kind, check_kind


class Experts:
    """Packed weights of the experts of one layer that are held here.

    kind         fp32 (exact mode), bf16, int8 or int4
    num_experts  how many; slots 0 .. num_experts - 1
    expert_ids   the ids by which tokens name them, one a slot; slots themselves where left out

    Raises ValueError on sizes below 1, on ids that repeat, and on an unknown kind.
    """

    __slots__ = ("_experts", "_handle", "_slots", "hidden", "inner", "kind", "num_experts")

    def __init__(
        self,
        kind: Kind,
        num_experts: int,
        hidden: int,
        inner: int,
        expert_ids: Sequence[int] | None = None,
    ) -> None:
        check_kind(kind)
        if min(num_experts, hidden, inner) < 1:
            raise ValueError(
                f"num_experts is {num_experts}, hidden {hidden}, inner {inner}; "
                f"each must be at least 1"
            )
        self.kind, self.num_experts, self.hidden, self.inner = kind, num_experts, hidden, inner
        self._slots = None if expert_ids is None else _slots(expert_ids, num_experts)
        self._experts: list[ref.Expert | None] = []
        self._handle: object = None
        if lib is None:
            self._experts = [None] * num_experts
        else:
            self._handle = lib.moe_create(kind, num_experts, hidden, inner)

    @property
    def stored(self) -> object:
        """The library's handle: for ops that run experts as one of their parts."""
        return self._handle

    @property
    def expert_bytes(self) -> int:
        """What a call reads of each active expert."""
        if lib is not None:
            return int(lib.moe_expert_bytes(self._handle))
        half_bytes = {"fp32": 8, "bf16": 4, "int8": 2, "int4": 1}[self.kind]
        return 3 * self.hidden * self.inner * half_bytes // 2

    def set(
        self, slot: int, gate_IH: NDArray[Any], up_IH: NDArray[Any], down_HI: NDArray[Any]
    ) -> None:
        """Pack one expert's weights, float32 or bf16 as uint16.

        Raises ValueError on another shape or dtype, and where int8 or int4 meet NaN or infinity.
        """
        if lib is not None:
            lib.moe_set_expert(self._handle, slot, gate_IH, up_IH, down_HI)
            return
        wide, tall = (self.inner, self.hidden), (self.hidden, self.inner)
        for name, array, shape in (
            ("gate_IH", gate_IH, wide),
            ("up_IH", up_IH, wide),
            ("down_HI", down_HI, tall),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}; it must be {shape}")
        if not 0 <= slot < self.num_experts:
            raise ValueError(f"expert is {slot}; it must be from 0 to {self.num_experts - 1}")
        self._experts[slot] = ref.pack(gate_IH, up_IH, down_HI, self.kind)

    def run(
        self, hidden_TH: Floats, experts_TK: NDArray[Any], weights_TK: Floats, out: NDArray[Any]
    ) -> None:
        if lib is not None:
            lib.moe_forward(self._handle, hidden_TH, experts_TK, weights_TK, self._slots, out)
            return
        if hidden_TH.ndim != 2 or hidden_TH.shape[1] != self.hidden:
            raise ValueError(
                f"hidden_TH has shape {hidden_TH.shape}; dimension 1 must be {self.hidden}"
            )
        if experts_TK.shape != weights_TK.shape or len(experts_TK) != len(hidden_TH):
            raise ValueError(
                f"experts_TK has shape {experts_TK.shape}, weights_TK {weights_TK.shape}; both "
                f"must have {len(hidden_TH)} rows and be alike"
            )
        slots = np.arange(self.num_experts) if self._slots is None else self._slots
        known = (experts_TK >= 0) & (experts_TK < len(slots))
        named = np.where(known, slots[np.where(known, experts_TK, 0)], -1)
        out[...] = ref.forward(self._experts, self.kind, hidden_TH, named, weights_TK)


def _slots(expert_ids: Sequence[int], num_experts: int) -> NDArray[np.int32]:
    """By id, the slot; -1 where an id is not held."""
    distinct = len(dict.fromkeys(expert_ids)) == len(expert_ids) == num_experts
    if not distinct or min(expert_ids) < 0:
        raise ValueError(
            f"expert_ids are {tuple(expert_ids)}; they must be {num_experts} distinct ids from 0 on"
        )
    slots = np.full(max(expert_ids) + 1, -1, dtype=np.int32)
    slots[list(expert_ids)] = np.arange(num_experts, dtype=np.int32)
    return slots


def forward(
    experts: Experts,
    hidden_TH: Floats,
    experts_TK: NDArray[Any],
    weights_TK: Floats,
    sums_TH: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Weighted sums over the experts held, [T, H], into `sums_TH` where given; it is overwritten.

    hidden_TH   float32, any strides and alignment    experts_TK  int32 or int64
    weights_TK  float32; not looked at where the id names no expert here (-1: an unused slot)

    fp32 gives float64, each contribution a multiple of 2^-32: sums of several shards add exactly,
    in any order. The others give float32. Raises ValueError where a shape or dtype does not fit,
    or an expert that is named has no weights.
    """
    if sums_TH is None:
        dtype = np.float64 if experts.kind == "fp32" else np.float32
        sums_TH = np.empty(hidden_TH.shape, dtype=dtype)
    experts.run(hidden_TH, experts_TK, weights_TK, sums_TH)
    return sums_TH


def forward_fp32(
    experts: Experts, hidden_TH: Floats, experts_TK: NDArray[Any], weights_TK: Floats
) -> NDArray[np.float64]:
    """`forward` of exact mode: float64. Raises ValueError where the experts are not fp32."""
    if experts.kind != "fp32":
        raise ValueError(f"experts are {experts.kind}; exact mode takes fp32")
    return forward(experts, hidden_TH, experts_TK, weights_TK)
