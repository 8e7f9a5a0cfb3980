"""What each token of a step sees in layers of one kind: all before it, or a window.

Letters: T tokens of the step, G whole spans that are read, P pairs of a token and a span, S tokens
of a span, B tokens that see the end of a span alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.cache import DigestCache
from workers.model.digest.mixing import Digests, mixed
from workers.model.parts.positions import Indices

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
class Sight:
    """own_T, seen_TS   each token's own span, and its slots that the token sees
    whole_G      spans that are whole for some token
    begun_B, spans_B, seen_BS    tokens whose window begins within a span: that span, and its slots
                 that they see
    """

    own_T: Indices
    seen_TS: Digests
    whole_G: Indices
    pieces: tuple[Piece, ...]
    begun_B: Indices
    spans_B: Indices
    seen_BS: Digests


@dataclass(frozen=True, slots=True)
class Held:
    """One sequence of a step: its tokens' positions, the first that each of them sees, and its
    spans that are here, of which the first has number `far`.
    """

    positions_t: Indices
    firsts_t: Indices
    spans: Indices
    far: int


def sight_of(sequences: Iterable[Held], span: int) -> Sight:
    """Of a step's sequences, in order; `span` is the tokens of one."""
    own, whole, firsts, numbers = (list[Indices]() for _ in range(4))
    begun, at, inside, lowest = (list[Indices]() for _ in range(4))
    num_whole = num_tokens = 0
    for held in sequences:
        number_t = held.positions_t // span - held.far
        head_t = held.firsts_t // span - held.far
        is_begun_t = (held.firsts_t % span > 0) & (head_t < number_t)
        first_t = np.minimum(-(-held.firsts_t // span) - held.far, number_t).clip(min=0)
        low, end = int(first_t[0]), int(number_t[-1])
        own.append(held.spans[number_t])
        whole.append(held.spans[low:end])
        firsts.append(num_whole + first_t - low)
        numbers.append(number_t - first_t)
        lowest.append(np.where(head_t == number_t, held.firsts_t % span, 0))
        begun.append(np.flatnonzero(is_begun_t) + num_tokens)
        at.append(held.spans[head_t[is_begun_t]])
        inside.append(held.firsts_t[is_begun_t] % span)
        num_whole += end - low
        num_tokens += len(held.positions_t)
        assert (np.diff(first_t) >= 0).all(), "windows move on"
    slots = np.arange(span)
    last_T = np.concatenate([held.positions_t for held in sequences]) % span
    seen_TS = (slots <= last_T[:, None]) & (slots >= np.concatenate(lowest)[:, None])
    pieces = tuple(_pieces(np.concatenate(firsts), np.concatenate(numbers), num_whole))
    return Sight(
        np.concatenate(own),
        seen_TS.astype(np.uint64),
        np.concatenate(whole),
        pieces,
        np.concatenate(begun),
        np.concatenate(at),
        (slots >= np.concatenate(inside)[:, None]).astype(np.uint64),
    )


def sight_next(
    spans: Indices, begins_T: Indices, positions_T: Indices, firsts_T: Indices, span: int
) -> Sight:
    """The same of one token of each of some sequences: their spans one after the other, where each
    one's begin, the tokens' positions, and the first that each sees.
    """
    number_T, head_T = positions_T // span, firsts_T // span
    begun_B = np.flatnonzero((firsts_T % span > 0) & (head_T < number_T))
    first_T = np.minimum(-(-firsts_T // span), number_T)
    counts_T = number_T - first_T
    ends_T = np.cumsum(counts_T)
    in_whole_T = ends_T - counts_T
    whole = np.arange(ends_T[-1]) + np.repeat(begins_T + first_T - in_whole_T, counts_T)
    lowest_T = np.where(head_T == number_T, firsts_T % span, 0)
    slots = np.arange(span)
    seen_TS = (slots <= (positions_T % span)[:, None]) & (slots >= lowest_T[:, None])
    return Sight(
        spans[begins_T + number_T],
        seen_TS.astype(np.uint64),
        spans[whole],
        tuple(_pieces(in_whole_T, counts_T, int(ends_T[-1]))),
        begun_B,
        spans[(begins_T + head_T)[begun_B]],
        (slots >= (firsts_T % span)[begun_B][:, None]).astype(np.uint64),
    )


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
    cache: DigestCache, layer: int, sight: Sight, queries_TU: Digests
) -> NDArray[np.uint64]:
    """What each token's queries find over the keys that are here, summed over spans: [T, U]."""
    whole_GU = cache.whole(layer, sight.whole_G)
    own_TU = cache.begun(layer, sight.own_T, sight.seen_TS)
    found = over_spans(np.concatenate((whole_GU, own_TU)), sight.pieces, queries_TU)
    if sight.begun_B.size:
        terms_BU = cache.begun(layer, sight.spans_B, sight.seen_BS)
        terms_BU += queries_TU[sight.begun_B]
        found[sight.begun_B] += mixed(terms_BU)
    return found


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
