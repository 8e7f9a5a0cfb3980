"""What a layer asks for where ranks hold slices of the same keys: three launches, and what passes
between these ranks around the second.

    queries ── Gather ──▶ all ranks' queries over the slice here ── Swap ──▶ values

Queries and what they find travel in fp32, as to memory servers (`workers.wire.kinds.near`).
"""

from typing import NamedTuple

import numpy as np

from configs.slices import Slice
from workers.hardware.work import Work
from workers.model.base import StepLayout
from workers.model.plans import Plans
from workers.model.work import WorkModel

_FP32_BYTES = 4


class Sliced(NamedTuple):
    """A layer of a step. Bytes are of what one rank tells one other: its queries; and what was
    found for all of that rank's heads, with the log-sum-exp of each.
    """

    queries: Work
    own: Work
    values: Work
    query_bytes: int
    found_bytes: int


class SlicedWorks:
    """Of a rank with that slice. Layers of one kind ask for the same; the first one also embeds."""

    def __init__(self, work: WorkModel, held: Slice) -> None:
        self._work, self._held = work, held
        self._known: Plans[dict[tuple[int, bool], Sliced]] = Plans(lambda _: {})

    def of(self, layer: int, layout: StepLayout) -> Sliced:
        known, kind = self._known.of(layout), (self._work.config.kind_of(layer), layer == 0)
        if kind not in known:
            known[kind] = sliced(self._work, layer, layout, self._held)
        return known[kind]


def sliced(work: WorkModel, layer: int, layout: StepLayout, held: Slice) -> Sliced:
    """Projections are those of this rank's heads; over its slice all ranks' queries meet keys,
    which are read once for all of them.
    """
    apart = work.attend_apart(layer, layout, held.block_size)
    config, precision, tokens = work.config, work.precision, layout.num_tokens
    token_bytes = precision.kv_layer_bytes(config)
    written = read = pairs = 0
    for one in layout.sequences:
        seen_T = held.before(np.arange(one.start, one.start + one.count + 1))
        written += int(seen_T[-1] - seen_T[0])
        read += int(seen_T[-1])
        pairs += int(seen_T[1:].sum())
    products = config.attention.pair_products
    mla = config.mla
    width = config.head_dim if mla is None else mla.cache_width
    found = products // config.num_heads - width + 1
    numbers = tokens * config.num_heads * _FP32_BYTES
    return Sliced(
        _writing(apart.queries, work.kv_tier, written * token_bytes),
        Work.of(
            "attention",
            flops={precision.pair_arithmetic(config): 2 * pairs * products * held.count},
            reads={work.kv_tier: read * token_bytes},
        ),
        apart.values,
        numbers * width,
        numbers * found,
    )


def _writing(work: Work, tier: str, num_bytes: int) -> Work:
    """The same, but for how much KV is written: the slice here alone."""
    name = f"{tier}.write"
    others = tuple(one for one in work.demands if one.resource != name)
    return work._replace(demands=others + Work.of("", writes={tier: num_bytes}).demands)
