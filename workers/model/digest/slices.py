"""A rank of a digest model that holds a slice of its units' tokens: some spans of each block.

What a query finds is a sum over spans, modulo 2^64: over a slice it is the terms of the spans here,
and the sum over the ranks that hold the others is the whole. A span is never cut.

    block   span 0  span 1 │ span 2  span 3      2 slices
            rank 0         │ rank 1

Letters: T tokens of the step, G whole spans, R tokens that see any of them, W tokens that lie here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from configs.slices import Slice
from workers.model.base import StepLayout
from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests, mixed, stepped
from workers.model.digest.plan import StepPlan
from workers.model.digest.rank import DigestRank
from workers.model.digest.sight import Piece, over_spans, pairs_of, parts_of
from workers.model.parts.positions import Indices, check_sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlan(StepPlan):
    """rows_W       which tokens lie here: `spans_T` and `slots_T` are theirs alone
    seen_WS      slots of its own span that each of these sees
    whole_G      spans here that are whole for some token
    rows_R, pieces_R   tokens that see any of these, and which
    """

    rows_W: Indices
    seen_WS: Digests
    whole_G: Indices
    rows_R: Indices
    pieces_R: tuple[Piece, ...]


def plan_slice(layout: StepLayout, cache: DigestCache, held: Slice) -> SlicePlan:
    """Raises ValueError where blocks do not cover a sequence's tokens, or are unknown."""
    positions, written, whole, firsts, numbers = (list[Indices]() for _ in range(5))
    num_whole = 0
    for sequence in layout.sequences:
        check_sequence(sequence, held.block_size)
        spans = cache.spans_of(sequence.block_ids)
        mine = np.arange(sequence.start, sequence.start + sequence.count)
        number_t = held.before(mine // cache.span * cache.span) // cache.span
        positions.append(mine)
        written.append(_own_spans(mine, spans, held, cache.span))
        whole.append(spans[: number_t[-1]])
        firsts.append(np.full_like(mine, num_whole))
        numbers.append(number_t)
        num_whole += int(number_t[-1])
    positions_T, spans_T, numbers_T = (np.concatenate(a) for a in (positions, written, numbers))
    rows_W, rows_R = np.flatnonzero(spans_T >= 0), np.flatnonzero(numbers_T)
    slots_W = positions_T[rows_W] % cache.span
    return SlicePlan(
        positions_T,
        stepped(positions_T),
        spans_T[rows_W],
        slots_W,
        {},
        rows_W=rows_W,
        seen_WS=(np.arange(cache.span) <= slots_W[:, None]).astype(np.uint64),
        whole_G=np.concatenate(whole),
        rows_R=rows_R,
        pieces_R=tuple(_runs(np.concatenate(firsts)[rows_R], numbers_T[rows_R])),
    )


def _own_spans(positions_t: Indices, spans: Indices, held: Slice, span: int) -> Indices:
    """The span of each token; -1 of one that lies elsewhere."""
    before_t = held.before(positions_t)
    is_here_t = held.before(positions_t + 1) > before_t
    own_t = np.full_like(positions_t, -1)
    own_t[is_here_t] = spans[before_t[is_here_t] // span]
    return own_t


def _runs(firsts_R: Indices, numbers_R: Indices) -> Iterator[Piece]:
    if len(numbers_R):
        for begin, end in parts_of(numbers_R):
            yield pairs_of(firsts_R[begin:end], numbers_R[begin:end], begin)


class DigestSlice(DigestRank):
    """RankModel of blocks of which a slice is here."""

    def _new_plan(self, layout: StepLayout) -> SlicePlan:
        return plan_slice(layout, self._cache, self._slice)

    def _written(self, layer: int, x: Digests, plan: StepPlan) -> Digests:
        assert isinstance(plan, SlicePlan)
        of, number = self._layer(layer), layer - self.part.first_layer
        placed_T = (x + plan.steps_T)[:, None]
        keys_WU = mixed(placed_T[plan.rows_W] + of.keys_U)
        self._cache.write(number, plan.spans_T, plan.slots_T, keys_WU)
        queries_TU: Digests = placed_T + of.queries_U
        return queries_TU

    def _found(self, layer: int, queries_TU: Digests, plan: StepPlan) -> Digests:
        assert isinstance(plan, SlicePlan)
        number, found_TU = layer - self.part.first_layer, np.zeros_like(queries_TU)
        if plan.rows_R.size:
            whole_GU = self._cache.whole(number, plan.whole_G)
            found_TU[plan.rows_R] = over_spans(whole_GU, plan.pieces_R, queries_TU[plan.rows_R])
        terms_WU = self._cache.begun(number, plan.spans_T, plan.seen_WS)
        terms_WU += queries_TU[plan.rows_W]
        found_TU[plan.rows_W] += mixed(terms_WU)
        return found_TU
