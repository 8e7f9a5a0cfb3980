"""Pages that a kernel's tiles touch, beside a count byte by byte."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.layouts import Tiling, amplification, expert_reads, pages_read
from configs.precision import Precision
from configs.schema.flash import LayoutOrder
from tests.configs.test_capacity import QWEN3_30B
from tests.workers.bench import make_tier


def touched(tiling: Tiling, order: str, page_bytes: int) -> Iterator[list[int]]:
    """Byte by byte: of each tile, the pages in which its weights (of whole bytes) lie."""
    rows, columns, high, wide, bits = tiling
    size, at = bits // 8, 0
    for column in range(0, columns, wide):
        for row in range(0, rows, high):
            pages = set()
            for i in range(row, min(row + high, rows)):
                for j in range(column, min(column + wide, columns)):
                    index = {"row": i * columns + j, "column": j * rows + i, "tile": at}[order]
                    at += 1
                    pages |= {(index * size + k) // page_bytes for k in range(size)}
            yield sorted(pages)


@given(
    st.builds(
        Tiling,
        rows=st.integers(1, 20),
        columns=st.integers(1, 20),
        tile_rows=st.integers(1, 8),
        tile_columns=st.integers(1, 8),
        bits=st.sampled_from([8, 16, 32]),
    ),
    st.sampled_from(["row", "column", "tile"]),
    st.sampled_from([4, 16, 64]),
    st.integers(0, 6),
)
def test_as_many_pages_as_byte_by_byte(
    tiling: Tiling, order: LayoutOrder, page_bytes: int, kept: int
) -> None:
    at_hand, num = list[int](), 0
    for pages in touched(tiling, order, page_bytes):
        for page in pages:
            num += page not in at_hand
            at_hand = ([old for old in at_hand if old != page] + [page])[-kept:] if kept else []
    assert pages_read(tiling, order, page_bytes, kept) == num


@pytest.mark.parametrize(("order", "times"), [("tile", 1.0), ("row", 3.0), ("column", 16.0)])
def test_an_expert_s_gate_by_hand(order: LayoutOrder, times: float) -> None:
    """2,048 x 768 bf16 in tiles of 128 x 256. A tile's 128 rows of 1,536 B are 48 whole pages for
    64 KiB, 16 pages' worth; each of its 256 columns is in a page of its own, 256 for 16.
    """
    gate = Tiling(2_048, 768, 128, 256, 16)
    assert amplification(gate, order, 4_096) == times


def test_pages_at_hand_are_not_read_again() -> None:
    """A column is a page, and the next tile down has the same 256: with room for them all are read
    once; with one less, and the oldest gone each time, none is at hand when it is asked for.
    """
    gate = Tiling(2_048, 768, 128, 256, 16)
    assert amplification(gate, "column", 4_096, kept=256) == 1.0
    assert amplification(gate, "column", 4_096, kept=255) == 16.0


def test_an_expert_is_read_in_as_many_pieces() -> None:
    """Gate and up 768 pages each at 3 and at 16 times, down (768 x 2,048) at 8 and at 6."""
    bf16 = Precision("bf16", "bf16")
    tiles = {"tile_rows": 128, "tile_columns": 256}
    for order, pages in (("row", 2 * 3 * 768 + 8 * 768), ("column", 2 * 16 * 768 + 6 * 768)):
        tier = make_tier(page_bytes=4_096, layout={"order": order, **tiles})
        assert expert_reads(QWEN3_30B, bf16, tier) == pages
    assert expert_reads(QWEN3_30B, bf16, make_tier(page_bytes=4_096)) == 0


def test_tiles_that_are_under_way_at_once_share_the_page_caches() -> None:
    """512 pages hold the 256 of gate's column for one tile under way, and for two. For three it is
    170 each: gate and up are read 16 times, down once, whose 256 columns of 1,536 B are in 96.
    """
    found = []
    for at_once in (1, 2, 3):
        layout = {
            "order": "column", "tile_rows": 128, "tile_columns": 256, "tiles_at_once": at_once,
        }  # fmt: skip
        tier = make_tier(page_bytes=4_096, banks=256, page_cache=2, layout=layout)
        found.append(expert_reads(QWEN3_30B, Precision("bf16", "bf16"), tier))
    assert found == [3 * 768, 3 * 768, 2 * 16 * 768 + 768]
