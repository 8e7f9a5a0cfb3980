"""Which pages a kernel reads when it goes through a matrix tile by tile.

A matrix product reads one tile of the weights after the other. Where a tile's bytes lie apart, it
touches many pages for a little of each, and flash senses them whole:

    row major      each row of the tile is a piece of a row of the matrix
    column major   each column of the tile is a piece of a column
    tile major     each tile lies in one piece, in the order in which tiles are read

TileLens (arXiv 2607.04031) names and measures the effect.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.schema.flash import LayoutOrder
from configs.schema.tier import TierSpec

Ints = NDArray[np.int64]


class Tiling(NamedTuple):
    """A matrix of `rows` (what is summed over, K) by `columns` (outputs, N), and the kernel's tile
    of it. A block of output columns goes through all rows before the next begins.
    """

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    bits: int  # of a weight

    @property
    def num_bytes(self) -> int:
        return self.rows * self.columns * self.bits // 8


def pages_read(tiling: Tiling, order: LayoutOrder, page_bytes: int, kept: int = 0) -> int:
    """Pages that are sensed to read the matrix once, with the last `kept` pages at hand."""
    at_hand: OrderedDict[int, None] = OrderedDict()
    num = 0
    for pages in _pages_of_tiles(tiling, order, page_bytes):
        if not kept:
            num += len(pages)
            continue
        for page in pages.tolist():
            if page in at_hand:
                at_hand.move_to_end(page)
                continue
            num += 1
            at_hand[page] = None
            if len(at_hand) > kept:
                at_hand.popitem(last=False)
    return num


def amplification(tiling: Tiling, order: LayoutOrder, page_bytes: int, kept: int = 0) -> float:
    """Bytes that are sensed for each byte of the matrix."""
    return pages_read(tiling, order, page_bytes, kept) * page_bytes / tiling.num_bytes


def _pages_of_tiles(tiling: Tiling, order: LayoutOrder, page_bytes: int) -> Iterator[Ints]:
    """Of each tile in the kernel's order, the pages that it touches, each once."""
    begin_bits = 0
    for column in range(0, tiling.columns, tiling.tile_columns):
        wide = min(tiling.tile_columns, tiling.columns - column)
        for row in range(0, tiling.rows, tiling.tile_rows):
            high = min(tiling.tile_rows, tiling.rows - row)
            if order == "row":
                lines = np.arange(row, row + high, dtype=np.int64) * tiling.columns + column
                length = wide
            elif order == "column":
                lines = np.arange(column, column + wide, dtype=np.int64) * tiling.rows + row
                length = high
            else:
                lines, length = np.array([begin_bits // tiling.bits], np.int64), wide * high
                begin_bits += wide * high * tiling.bits
            yield _pages_of_lines(lines * tiling.bits, length * tiling.bits, page_bytes * 8)


def _pages_of_lines(begins: Ints, length: int, page: int) -> Ints:
    """Pages that pieces of one length touch, all in bits, each page once."""
    first, last = begins // page, (begins + length - 1) // page
    most = int((last - first).max()) + 1
    pages = first[:, None] + np.arange(most)
    found: Ints = np.unique(pages[pages <= last[:, None]])
    return found


def expert_reads(config: ModelConfig, precision: Precision, tier: TierSpec) -> int:
    """Separate page reads of one expert's three projections as they lie in a tier; 0 where the tier
    says nothing of a layout, and they are one piece.
    """
    if tier.layout is None:
        return 0
    weights = 3 * config.hidden * config.moe_intermediate
    bits = precision.expert_bytes(config) * 8 // weights
    kept = tier.page_cache * tier.channels * (tier.banks or 1) // tier.layout.tiles_at_once

    def pages(rows: int, columns: int) -> int:
        assert tier.layout is not None
        tile_rows, tile_columns = tier.layout.tile_rows, tier.layout.tile_columns
        tiling = Tiling(rows, columns, tile_rows, tile_columns, bits)
        return pages_read(tiling, tier.layout.order, tier.page_bytes, kept)

    hidden, inner = config.hidden, config.moe_intermediate
    return 2 * pages(hidden, inner) + pages(inner, hidden)
