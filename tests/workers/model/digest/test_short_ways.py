"""Short ways of digests beside the long ones: the likeliest token, and a step of one token each."""

import numpy as np
import pytest

from configs.attention import Window
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.cache import DigestCache
from workers.model.digest.logits import logits_of, most_likely
from workers.model.digest.mixing import mixed
from workers.model.digest.plan import plan_next, plan_step


@pytest.mark.parametrize("vocab", [2, 17, 5_000])
def test_the_likeliest_token_is_that_of_the_logits(vocab: int) -> None:
    """In a small vocabulary candidates are often one token, of which the last counts."""
    last = mixed(np.arange(3_000, dtype=np.uint64))
    assert np.array_equal(most_likely(last, vocab), logits_of(last, vocab).argmax(axis=1))


def test_a_plan_of_one_token_each_is_that_of_the_layout() -> None:
    cache, windows = DigestCache(20, 32, 2, 1), (None, Window(24), Window(5))
    blocks, starts = ((4, 7), (9,), (1, 2, 3)), (40, 3, 95)
    layout = StepLayout(
        tuple(StepSequence(ids, at, 1) for ids, at in zip(blocks, starts, strict=True))
    )
    wanted = plan_step(layout, cache, 32, windows)
    spans = [cache.spans_of(ids) for ids in blocks]
    firsts = np.cumsum([0, *(len(one) for one in spans[:-1])])
    found = plan_next(cache, np.concatenate(spans), firsts, np.array(starts), windows)
    for name in ("positions_T", "steps_T", "spans_T", "slots_T"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    for window in windows:
        one, other = found.sights[window], wanted.sights[window]
        for name in ("own_T", "seen_TS", "whole_G", "begun_B", "spans_B", "seen_BS"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        for mine, its in zip(one.pieces, other.pieces, strict=True):
            assert mine.rows == its.rows
            assert np.array_equal(mine.tokens_P, its.tokens_P)
            assert np.array_equal(mine.spans_P, its.spans_P)
            assert np.array_equal(mine.starts_T, its.starts_T)


def test_parts_of_a_cache_share_its_memory() -> None:
    whole = DigestCache(6, 16, 2, 1)
    part = whole.part(2, 3)
    blocks = np.full((1, whole.block_bytes), 5, dtype=np.uint8)
    part.write_blocks([1], blocks)
    assert np.array_equal(whole.read_blocks([3]), blocks)
    assert part.num_blocks == 3 and whole.num_blocks == 6
