"""Where a step's tokens write their keys, and which spans each of them sees: index arithmetic, once
a step for all layers.

Letters: T tokens of the step, G whole spans that are read, P pairs of a token and a span, S tokens
of a span.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workers.model.base import StepLayout, StepSequence
from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests, mixed, stepped
from workers.model.parts.positions import Indices, check_sequence

# Pairs of a token and a span that are mixed at once: 8 MiB a unit.
PAIRS_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of a step's tokens and all that they see.

    rows       of the step
    tokens_P   each pair's token, from the piece's first
    spans_P    its span: one of the G whole ones, or behind these the token's own
    starts_T   where each token's pairs begin; each has its own span at least
    """

    rows: slice
    tokens_P: Indices
    spans_P: Indices
    starts_T: Indices


@dataclass(frozen=True, slots=True)
class StepPlan:
    """steps_T      each token's position, `stepped`
    spans_T, slots_T   where it writes         seen_TS   slots of its span that it sees
    whole_G      spans that are whole for some token
    """

    positions_T: Indices
    steps_T: Digests
    spans_T: Indices
    slots_T: Indices
    seen_TS: Digests
    whole_G: Indices
    pieces: tuple[Piece, ...]


def plan_step(layout: StepLayout, cache: DigestCache, block_size: int) -> StepPlan:
    """Raises ValueError where blocks do not cover a sequence's tokens, or are unknown."""
    positions: list[Indices] = []
    own: list[Indices] = []
    whole: list[Indices] = []
    firsts: list[Indices] = []
    numbers: list[Indices] = []
    num_whole = 0
    for sequence in layout.sequences:
        check_sequence(sequence, block_size)
        mine = np.arange(sequence.start, sequence.start + sequence.count)
        spans, num_far = _spans(sequence, cache), sequence.num_far * cache.per_block
        numbers_t = mine // cache.span - num_far
        positions.append(mine)
        own.append(spans[numbers_t])
        whole.append(spans[: numbers_t[-1]])
        firsts.append(np.full(len(mine), num_whole))
        numbers.append(numbers_t)
        num_whole += int(numbers_t[-1])
    positions_T = np.concatenate(positions)
    slots_T = positions_T % cache.span
    seen_TS = (np.arange(cache.span) <= slots_T[:, None]).astype(np.uint64)
    pieces = tuple(_pieces(np.concatenate(firsts), np.concatenate(numbers), num_whole))
    return StepPlan(
        positions_T,
        stepped(positions_T),
        np.concatenate(own),
        slots_T,
        seen_TS,
        np.concatenate(whole),
        pieces,
    )


def plan_next(
    cache: DigestCache, spans: Indices, firsts_T: Indices, positions_T: Indices
) -> StepPlan:
    """One more token of each of some sequences, all of whose blocks are here.

    spans       of all sequences, one after the other        firsts_T   where each one's begin
    """
    numbers_T = positions_T // cache.span
    ends_T = np.cumsum(numbers_T)
    begins_T = ends_T - numbers_T
    whole = np.arange(ends_T[-1]) + np.repeat(firsts_T - begins_T, numbers_T)
    slots_T = positions_T % cache.span
    return StepPlan(
        positions_T,
        stepped(positions_T),
        spans[firsts_T + numbers_T],
        slots_T,
        (np.arange(cache.span) <= slots_T[:, None]).astype(np.uint64),
        spans[whole],
        tuple(_pieces(begins_T, numbers_T, int(ends_T[-1]))),
    )


def _spans(sequence: StepSequence, cache: DigestCache) -> Indices:
    """Of its blocks that are here, in order."""
    return cache.spans_of(sequence.block_ids[sequence.num_far :])


def _pieces(firsts_T: Indices, numbers_T: Indices, num_whole: int) -> Iterator[Piece]:
    """firsts_T, numbers_T: each token sees so many whole spans, from there on, and its own."""
    for begin, end in parts_of(numbers_T + 1):
        piece = pairs_of(firsts_T[begin:end], numbers_T[begin:end] + 1, begin)
        piece.spans_P[np.append(piece.starts_T[1:], len(piece.spans_P)) - 1] = (
            num_whole + np.arange(begin, end)
        )
        yield piece


def parts_of(counts_T: Indices) -> Iterator[tuple[int, int]]:
    """Runs of tokens whose pairs are mixed at once."""
    parts = np.cumsum(counts_T) // PAIRS_MAX
    ends = [*(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(counts_T)]
    yield from pairwise([0, *ends])


def pairs_of(firsts_T: Indices, counts_T: Indices, begin: int) -> Piece:
    """Tokens from row `begin` on see so many spans (at least one), from there on."""
    starts = np.cumsum(counts_T) - counts_T
    num_tokens, num_pairs = len(counts_T), int(counts_T.sum())
    spans_P = np.arange(num_pairs) - np.repeat(starts - firsts_T, counts_T)
    tokens_P = np.repeat(np.arange(num_tokens), counts_T)
    return Piece(slice(begin, begin + num_tokens), tokens_P, spans_P, starts)


def attended(
    cache: DigestCache, layer: int, plan: StepPlan, queries_TU: Digests
) -> NDArray[np.uint64]:
    """What each token's queries find over the keys that are here, summed over spans: [T, U]."""
    whole_GU = cache.whole(layer, plan.whole_G)
    own_TU = cache.begun(layer, plan.spans_T, plan.seen_TS)
    return over_spans(np.concatenate((whole_GU, own_TU)), plan.pieces, queries_TU)


def over_spans(
    spans_SU: Digests, pieces: tuple[Piece, ...], queries_TU: Digests
) -> NDArray[np.uint64]:
    """Each pair's span and query mixed, then summed over the spans of each token: [T, U]."""
    found = np.empty_like(queries_TU)
    for piece in pieces:
        terms = spans_SU.take(piece.spans_P, axis=0)
        terms += queries_TU[piece.rows].take(piece.tokens_P, axis=0)
        found[piece.rows] = np.add.reduceat(mixed(terms), piece.starts_T, axis=0)
    return found
