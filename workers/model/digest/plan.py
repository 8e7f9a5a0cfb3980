"""Where a step's tokens write their keys, and which spans each of them sees: index arithmetic, once
a step for all layers of one kind.

Letters: T tokens of the step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from configs.attention import Window
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests, stepped
from workers.model.digest.sight import Held, Sight, sight_next, sight_of
from workers.model.digest.states import Runs, runs_of
from workers.model.parts.positions import Indices, check_sequence


@dataclass(frozen=True, slots=True)
class StepPlan:
    """steps_T      each token's position, `stepped`
    spans_T, slots_T   where it writes
    sights       of layers with each window (None: with none)
    runs         what states go on from, where layers keep them
    """

    positions_T: Indices
    steps_T: Digests
    spans_T: Indices
    slots_T: Indices
    sights: Mapping[Window | None, Sight]
    runs: Runs | None = None


def plan_step(
    layout: StepLayout,
    cache: DigestCache,
    block_size: int,
    windows: Iterable[Window | None] = (None,),
    *,
    has_states: bool = False,
) -> StepPlan:
    """Raises ValueError where blocks do not cover a sequence's tokens, or are unknown."""
    for sequence in layout.sequences:
        check_sequence(sequence, block_size)
    here = [_spans(sequence, cache) for sequence in layout.sequences]
    mine = [np.arange(s.start, s.start + s.count) for s in layout.sequences]
    far = [s.num_far * cache.per_block for s in layout.sequences]
    sights = {}
    for window in windows:
        held = [
            Held(positions, _firsts(window, positions), spans, before)
            for positions, spans, before in zip(mine, here, far, strict=True)
        ]
        sights[window] = sight_of(held, cache.span)
    positions_T = np.concatenate(mine)
    written = next(iter(sights.values())).own_T
    runs = runs_of(mine, here, cache.span) if has_states else None
    slots_T = positions_T % cache.span
    return StepPlan(positions_T, stepped(positions_T), written, slots_T, sights, runs)


def _firsts(window: Window | None, positions: Indices) -> Indices:
    """The first token that each sees."""
    return np.zeros_like(positions) if window is None else window.first(positions)


def plan_next(
    cache: DigestCache,
    spans: Indices,
    begins_T: Indices,
    positions_T: Indices,
    windows: Iterable[Window | None] = (None,),
) -> StepPlan:
    """One more token of each of some sequences, all of whose blocks are here.

    spans       of all sequences, one after the other        begins_T   where each one's begin
    """
    sights = {
        window: sight_next(spans, begins_T, positions_T, _firsts(window, positions_T), cache.span)
        for window in windows
    }
    written = next(iter(sights.values())).own_T
    return StepPlan(positions_T, stepped(positions_T), written, positions_T % cache.span, sights)


def _spans(sequence: StepSequence, cache: DigestCache) -> Indices:
    """Of its blocks that are here, in order."""
    return cache.spans_of(sequence.block_ids[sequence.num_far :])
