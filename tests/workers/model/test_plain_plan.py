"""A step's plan on the plain path: each new token is computed once, in a window of its own keys."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.model.base import StepLayout, StepSequence
from workers.model.plain.plan import QUERY_TILE, SPAN_TOKENS, StepPlan, plan_step

BLOCK = 16


def sequence(name: int, start: int, count: int) -> StepSequence:
    """Logical block i of sequence n lies in physical block 1000 n + i."""
    blocks = tuple(1000 * name + i for i in range(-(-(start + count) // BLOCK)))
    return StepSequence(blocks, start, count)


def check(plan: StepPlan, sequences: list[StepSequence]) -> None:
    """Against what a row needs: its own sequence's blocks in order, in a window as long as its
    position asks for.
    """
    owners = [(one, one.start + i) for one in sequences for i in range(one.count)]
    rows = np.concatenate([group.rows_R for group in plan.groups])
    assert sorted(rows.tolist()) == list(range(len(owners))), "each row once"
    for group in plan.groups:
        keys = group.blocks.shape[1] * BLOCK
        assert len(set(group.places_R.tolist())) == len(group.rows_R)
        for row, place in zip(group.rows_R.tolist(), group.places_R.tolist(), strict=True):
            one, position = owners[row]
            tile, query = divmod(place, QUERY_TILE)
            assert tile < group.tiles
            assert query == position % QUERY_TILE
            assert keys == (position // SPAN_TOKENS + 1) * SPAN_TOKENS
            window = group.blocks[tile if len(group.blocks) > 1 else 0].tolist()
            needed = position // BLOCK + 1
            assert window[:needed] == list(one.block_ids[:needed])
            assert set(window) <= set(one.block_ids), "what is masked is its own, too"
    for row, (one, position) in enumerate(owners):
        assert plan.positions_T[row] == position
        assert plan.blocks_T[row] == one.block_ids[position // BLOCK]
        assert plan.offsets_T[row] == position % BLOCK


STARTS = st.one_of(st.integers(0, 40), st.integers(SPAN_TOKENS - 20, 2 * SPAN_TOKENS + 20))
COUNTS = st.one_of(st.just(1), st.integers(2, 40))


@given(st.lists(st.tuples(STARTS, COUNTS), min_size=1, max_size=5))
def test_each_token_is_computed_once_over_its_own_keys(parts: list[tuple[int, int]]) -> None:
    sequences = [sequence(n, start, count) for n, (start, count) in enumerate(parts)]
    check(plan_step(StepLayout(tuple(sequences)), BLOCK, 8), sequences)


def test_a_chunk_over_two_spans_is_two_groups() -> None:
    """From 10 tokens before a span's end to 20 after it: 10 rows see one span, 20 see two."""
    one = sequence(0, SPAN_TOKENS - 10, 30)
    plan = plan_step(StepLayout((one,)), BLOCK, 8)
    assert [len(group.rows_R) for group in plan.groups] == [10, 20]
    windows = [group.blocks.shape[1] * BLOCK for group in plan.groups]
    assert windows == [SPAN_TOKENS, 2 * SPAN_TOKENS]


def test_queries_stand_in_tiles_of_four_by_position() -> None:
    """Positions 6 to 9 of a chunk: tiles 4-7 and 8-11, rows 2 and 3 of one, 0 and 1 of the other.
    Position 7 alone: row 3 of its only tile. A row sees the keys up to its own position.
    """
    chunk = plan_step(StepLayout((sequence(0, 6, 4),)), BLOCK, 8).groups[0]
    assert (chunk.tiles, chunk.places_R.tolist()) == (2, [2, 3, 4, 5])
    single = plan_step(StepLayout((sequence(0, 7, 1),)), BLOCK, 8).groups[0]
    assert (single.tiles, single.places_R.tolist()) == (1, [3])
    for group, first in ((chunk, 4), (single, 4)):
        seen = (~group.unseen).sum(axis=2).ravel().tolist()
        assert seen == [first + i + 1 for i in range(4 * group.tiles)]


def test_a_step_of_nothing_has_a_plan() -> None:
    plan = plan_step(StepLayout(()), BLOCK, 8)
    assert (plan.groups, len(plan.positions_T), len(plan.blocks_T)) == ((), 0, 0)
