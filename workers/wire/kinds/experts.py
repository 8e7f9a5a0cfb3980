"""Chip and expert shard: tokens out, weighted partial sums back; and what comes next."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.hardware.energy.phase import Cause, Phase
from workers.wire.kind import ENVELOPE_BYTES, Kind, Reply, kind
from workers.wire.roles import (
    Count,
    Moment,
    Role,
    Rows,
    Sums,
    WirePrecision,
    column,
    free,
    row_width,
    spent_for,
)

ComputedFor = Annotated[Cause, spent_for()]


@dataclass(frozen=True, slots=True)
class Gather:
    """Where the sums of one dispatch meet: at a switch, which adds them.

    number     of the dispatch, of its chip
    shards     that are asked: so many sums are to come
    until_ns   by when the switch passes on what it has
    """

    switch: str
    number: int
    shards: tuple[str, ...]
    until_ns: int

    def wire_bytes(self) -> int:
        """Addresses of 4, a number and a time of 8."""
        return 4 + 8 + 4 * len(self.shards) + 8

    def to_body(self) -> list[Any]:
        return [self.switch, self.number, list(self.shards), self.until_ns]

    @classmethod
    def from_body(cls, body: list[Any]) -> "Gather":
        switch, number, shards, until_ns = body
        return cls(switch, number, tuple(shards), until_ns)


MaybeGather = Annotated[
    Gather | None,
    Role(
        "body",
        lambda value, _: 0 if value is None else value.wire_bytes(),
        lambda value: None if value is None else value.to_body(),
        lambda body: None if body is None else Gather.from_body(body),
    ),
]


# These are not frozen, as they are made for every shard in every layer, and a frozen one takes
# twice as long.
@kind("combine")
@dataclass(slots=True)
class Combine(Kind["Combine"]):
    """One weighted partial sum a token of the dispatch that it answers, [t, H], in its order: as
    the model's numerics sends it.
    """

    sums: Sums
    computed_for: ComputedFor = Phase.SERVING

    def wire_bytes(self, precision: WirePrecision) -> int:
        """As the fields' roles have it, which a test compares: this is the hot path."""
        sums = len(self.sums) * precision.sum_bytes(row_width(self.sums))
        return sums if precision.free_metadata else ENVELOPE_BYTES + sums


@kind("dispatch")
@dataclass(slots=True)
class Dispatch(Kind[Combine]):
    """t tokens of one layer that have an expert on this shard, each with its identity and route.

    request    number of each token's request (`request_number`), [t]
    position   in its stream, [t]
    experts    [t, K]; an expert that lives elsewhere is -1, so that each contributes exactly once
    weights    of the gate, [t, K]
    hidden     rows as the model's numerics sends them, [t, ...]
    computed_for   what the step is for that they are of
    gather     where the sums meet; None: at the chip
    """

    layer: Count
    request: Annotated[NDArray[np.uint64], column(8)]
    position: Annotated[NDArray[np.int64], column(4)]
    experts: Annotated[NDArray[np.int32], column(4)]
    weights: Annotated[NDArray[np.float32], column(4)]
    hidden: Rows
    computed_for: ComputedFor = Phase.SERVING
    gather: MaybeGather = None

    def wire_bytes(self, precision: WirePrecision) -> int:
        """As the fields' roles have it, which a test compares: this is the hot path."""
        num_tokens, top_k = self.experts.shape
        row = precision.row_bytes(row_width(self.hidden))
        if precision.free_metadata:
            return int(num_tokens) * row
        a_token = 8 + 4 + 8 * top_k + row
        told = 0 if self.gather is None else self.gather.wire_bytes()
        return ENVELOPE_BYTES + 4 + int(num_tokens) * int(a_token) + told


@kind("weights")
@dataclass(frozen=True, slots=True)
class Weights(Kind[Any]):
    """A piece of one expert's weights.

    values      gate, up and down projection one after the other, in float32, from `begin` on, or a
                digest that stands for them; free, as `num_bytes` is what they take in the numbers
                of the model
    num_bytes   that the link is charged
    """

    values: Annotated[NDArray[Any], Role("tensor", free)]
    num_bytes: Annotated[int, Role("body", lambda value, _: value, is_price=True)]
    computed_for: ComputedFor = Phase.SERVING


@kind("weights_read")
@dataclass(frozen=True, slots=True)
class WeightsRead(Kind[Weights]):
    """Chip to shard: ship values `begin` to before `end` of one expert of a layer."""

    layer: Count
    expert: Count
    begin: Moment
    end: Moment
    computed_for: ComputedFor = Phase.SERVING


@kind("expert_hint")
@dataclass(frozen=True, slots=True)
class ExpertHint(Kind[Reply]):
    """These experts of a layer will probably be asked for next, the likeliest first, [n]."""

    layer: Count
    experts: Annotated[NDArray[np.int32], column(4)]
    computed_for: ComputedFor = Phase.SERVING
