"""Where a step's rows read and write KV: index arithmetic, done once a step for all layers.

A token at position p always looks through the same window of keys: all spans of SPAN_TOKENS
(rounded up to whole blocks) up to its own, later keys masked. Queries stand in tiles of QUERY_TILE,
a token at row p % QUERY_TILE. So shapes, and with them the bits, follow from the position alone: it
makes no difference whether the token came in a whole prefill, in any chunk of it, or by itself in
decode, or who came along. Where a window has more blocks than the sequence, its first block fills
up, masked.

Tiles with the same window length are computed together: all tiles of a span of one sequence (they
share their keys), and the decoding tokens of all sequences.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from configs.slices import Slice
from workers.model.base import StepLayout, StepSequence
from workers.model.parts.positions import Indices, check_sequence

# Measured (4 query heads, 2 KV heads of 32, one thread) with 1, 4 and 8 rows: a decode step of four
# takes 115, 140 and 180 us a layer, a chunk of 128 tokens behind 896 others 6.5, 3.2, 2.4 ms.
QUERY_TILE = 4
SPAN_TOKENS = 64
# Keys gathered at once for decoding sequences: 2^20 numbers are 4 MiB, so a batch stays in cache.
GATHER_NUMBERS_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Group:
    """Query tiles that look through windows of one length.

    rows_R     rows of the step that take part
    places_R   their places among tiles * QUERY_TILE
    tiles      number of query tiles, G
    blocks     physical blocks, [G, blocks of a window], or [1, ...] where tiles share one window
    unseen     [G, QUERY_TILE, keys]: where a key is later than the query
    """

    rows_R: Indices
    places_R: Indices
    tiles: int
    blocks: Indices
    unseen: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Position, block and offset in the block of each new token, and who is computed together.

    rows_T   where a slice of the keys is here: whose keys these are, of which alone blocks and
             offsets are
    """

    positions_T: Indices
    blocks_T: Indices
    offsets_T: Indices
    groups: tuple[Group, ...]
    rows_T: Indices | slice = field(default_factory=partial(slice, None))


def plan_step(
    layout: StepLayout, block_size: int, kv_width: int, held: Slice | None = None
) -> StepPlan:
    """Index arrays for a step; `held`: what is here of each block. Raises ValueError where blocks
    do not cover a sequence's tokens.
    """
    held = held or Slice(0, 1, block_size)
    span_blocks = -(-SPAN_TOKENS // held.tokens)
    span = span_blocks * block_size
    positions: list[Indices] = []
    tables: list[Indices] = []
    groups: list[Group] = []
    singles: dict[int, list[tuple[int, StepSequence]]] = {}
    row = 0
    for sequence in layout.sequences:
        check_sequence(sequence, block_size)
        mine = np.arange(sequence.start, sequence.start + sequence.count)
        positions.append(mine)
        tables.append(np.asarray(sequence.block_ids, dtype=np.int64)[mine // block_size])
        if sequence.count == 1:
            singles.setdefault(sequence.start // span + 1, []).append((row, sequence))
        else:
            groups.extend(_prefill_groups(sequence, row, span, span_blocks, held))
        row += sequence.count
    for num_spans in sorted(singles):
        keys = num_spans * span_blocks * held.tokens
        most = max(1, GATHER_NUMBERS_MAX // (keys * kv_width))
        members = singles[num_spans]
        parts = (members[first : first + most] for first in range(0, len(members), most))
        groups.extend(_decode_group(part, num_spans * span_blocks, held) for part in parts)
    positions_T = np.concatenate(positions) if positions else np.empty(0, dtype=np.int64)
    blocks_T = np.concatenate(tables) if tables else np.empty(0, dtype=np.int64)
    if held.count == 1:
        return StepPlan(positions_T, blocks_T, positions_T % block_size, tuple(groups))
    rows_T = np.flatnonzero(positions_T % block_size // held.tokens == held.number)
    offsets_T = positions_T[rows_T] % held.tokens
    return StepPlan(positions_T, blocks_T[rows_T], offsets_T, tuple(groups), rows_T)


def _window(sequence: StepSequence, num_blocks: int) -> list[int]:
    """The first blocks of a sequence, its first one repeated where it has no more."""
    found = list(sequence.block_ids[:num_blocks])
    return found + [found[0]] * (num_blocks - len(found))


def _prefill_groups(
    sequence: StepSequence, row: int, span: int, span_blocks: int, held: Slice
) -> Iterator[Group]:
    """One group for each span that the new tokens touch; its tiles share one window."""
    end = sequence.start + sequence.count
    for number in range(sequence.start // span, (end - 1) // span + 1):
        low, high = max(sequence.start, number * span), min(end, (number + 1) * span)
        first_tile = low // QUERY_TILE
        tiles = (high - 1) // QUERY_TILE - first_tile + 1
        places = np.arange(low, high) - first_tile * QUERY_TILE
        rows = np.arange(low, high) - sequence.start + row
        blocks = np.array([_window(sequence, (number + 1) * span_blocks)], dtype=np.int64)
        first = np.arange(first_tile, first_tile + tiles) * QUERY_TILE
        yield Group(rows, places, tiles, blocks, _unseen(first, blocks.shape[1], held))


def _decode_group(members: list[tuple[int, StepSequence]], num_blocks: int, held: Slice) -> Group:
    """One tile for each sequence, each with its own window."""
    starts = np.array([sequence.start for _, sequence in members])
    tiles = np.arange(len(members))
    return Group(
        rows_R=np.array([row for row, _ in members]),
        places_R=tiles * QUERY_TILE + starts % QUERY_TILE,
        tiles=len(members),
        blocks=np.array([_window(s, num_blocks) for _, s in members], dtype=np.int64),
        unseen=_unseen(starts - starts % QUERY_TILE, num_blocks, held),
    )


def _unseen(first_positions_G: Indices, num_blocks: int, held: Slice) -> NDArray[np.bool_]:
    """True where a key is after the query. A row of a tile without a token sees by its place."""
    queries = first_positions_G[:, None] + np.arange(QUERY_TILE)
    return held.positions(num_blocks * held.tokens) > queries[:, :, None]
