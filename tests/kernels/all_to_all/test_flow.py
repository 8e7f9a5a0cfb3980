"""Rounds, credits and handles: what may overlap, what waits, what is refused, and how it ends."""

import numpy as np
import pytest

from kernels.all_to_all import RankDead, RankRefused, TimedOut
from tests.kernels.all_to_all.ranks import (
    EXACT,
    LONG_NS,
    SHORT_NS,
    for_both,
    geometry,
    group,
    send,
    tokens,
)


def answer(rank, arrived, factor=1):
    return rank.combine_send(arrived, arrived.floats() * np.float32(factor))


def test_two_micro_batches_overlap(rng):
    """Received in the other order than they were sent, answered in another one still."""
    sizes = geometry(**EXACT)
    one, two = for_both(rng, sizes, 3), for_both(rng, sizes, 5)
    with group(sizes) as (chip, shard):
        first, second = send(chip, one, 1), send(chip, two, 2)
        for rank, order in ((chip, (1, 0)), (shard, (0, 1))):
            came = rank.dispatch_receive(LONG_NS)
            assert [arrived.tag for arrived in came] == [1, 2]
            for index in order:
                answer(rank, came[index])
        assert np.array_equal(chip.combine_receive(second, LONG_NS), two.hidden_TH * 2.0)
        assert np.array_equal(chip.combine_receive(first, LONG_NS), one.hidden_TH * 2.0)


def test_a_third_dispatch_is_refused_and_nothing_is_sent(rng):
    sizes = geometry(**EXACT)
    given = for_both(rng, sizes, 2)
    with group(sizes) as (chip, shard):
        handles = [send(chip, given), send(chip, given)]
        with pytest.raises(ValueError, match=r"two dispatches to rank [01] are open"):
            send(chip, given)
        assert len(shard.dispatch_receive(LONG_NS)) == 2
        with pytest.raises(TimedOut):
            shard.dispatch_receive(0)
        del handles


def test_the_room_of_a_dropped_dispatch_is_free_when_its_answer_has_come(rng):
    """Until then the next but one waits; the late answer is nobody's."""
    sizes = geometry(**EXACT)
    given, later = for_both(rng, sizes, 2), for_both(rng, sizes, 4)
    with group(sizes) as (chip, shard):
        dropped, kept = send(chip, given, 1), send(chip, given, 2)
        chip.drop(dropped)
        with pytest.raises(TimedOut, match="no room for a dispatch of tag 3 within 2000000 ns"):
            send(chip, later, 3, SHORT_NS)
        for rank in (chip, shard):
            for arrived in rank.dispatch_receive(LONG_NS):
                answer(rank, arrived, factor=arrived.tag)
        third = send(chip, later, 3)
        assert np.array_equal(chip.combine_receive(kept, LONG_NS), given.hidden_TH * 4.0)
        for rank in (chip, shard):
            (arrived,) = rank.dispatch_receive(LONG_NS)
            answer(rank, arrived)
        assert np.array_equal(chip.combine_receive(third, LONG_NS), later.hidden_TH * 2.0)


def test_a_handle_that_is_let_go_is_dropped(rng):
    sizes = geometry(**EXACT)
    given = for_both(rng, sizes, 2)
    with group(sizes) as ranks:
        for tag in range(5):
            handle = send(ranks[0], given, tag)
            for rank in ranks:
                (arrived,) = rank.dispatch_receive(LONG_NS)
                assert arrived.tag == tag
                answer(rank, arrived)
            del handle


def test_no_tokens(rng):
    """None travel to nobody; with everyone, each rank hears that there are none."""
    sizes = geometry(**EXACT)
    none = tokens(rng, sizes, 0)
    with group(sizes) as (chip, shard):
        sums = chip.combine_receive(send(chip, none), 0)
        assert sums.shape == (0, 200) and sums.dtype == np.float64
        handle = send(chip, none, 7, everyone=True)
        for rank in (chip, shard):
            (arrived,) = rank.dispatch_receive(LONG_NS, (0,))
            assert (arrived.num_tokens, arrived.tag, arrived.rows.shape) == (0, 7, (0, 200))
            answer(rank, arrived)
        assert chip.combine_receive(handle, LONG_NS).shape == (0, 200)


def test_tokens_of_nobody_are_zeros(rng):
    sizes = geometry(**EXACT)
    given = tokens(rng, sizes, 4)
    given.experts_TK[:] = -1
    with group(sizes) as (chip, _):
        assert not chip.combine_receive(send(chip, given), 0).any()


def test_capacity_is_the_most_that_one_rank_gets(rng):
    """More tokens than that may be sent, as long as none gets more."""
    sizes = geometry(capacity=4, **EXACT)
    given = tokens(rng, sizes, 8)
    given.experts_TK[:] = [[0, -1, -1]] * 4 + [[7, 6, -1]] * 4
    with group(sizes) as (chip, shard):
        handle = send(chip, given)
        for rank in (chip, shard):
            answer(rank, *rank.dispatch_receive(LONG_NS))
        assert np.array_equal(chip.combine_receive(handle, LONG_NS), given.hidden_TH)
        given.experts_TK[3] = [5, -1, -1]
        with pytest.raises(ValueError, match="5 tokens go to rank 1; its arena has room for 4"):
            send(chip, given)
        with pytest.raises(TimedOut):
            shard.dispatch_receive(0)


def test_an_answer_is_for_each_token_and_once(rng):
    sizes = geometry(**EXACT)
    given = for_both(rng, sizes, 3)
    with group(sizes) as (chip, shard):
        handle = send(chip, given)
        (arrived,) = shard.dispatch_receive(LONG_NS)
        with pytest.raises(ValueError, match="rank 0 is answered with 2 rows; it sent 3"):
            shard.combine_send(arrived, arrived.rows[:2])
        answer(shard, arrived)
        with pytest.raises(ValueError, match="round 1 of rank 0 waits for no answer"):
            answer(shard, arrived)
        answer(chip, *chip.dispatch_receive(LONG_NS))
        chip.combine_receive(handle, LONG_NS)
        with pytest.raises(ValueError, match="received or dropped before"):
            chip.combine_receive(handle, LONG_NS)
        with pytest.raises(ValueError, match="another rank's"):
            shard.combine_receive(handle, LONG_NS)


def test_a_refusal_is_told_by_token(rng):
    sizes = geometry(**EXACT)
    given = tokens(rng, sizes, 3)
    given.experts_TK[:] = [[0, -1, -1], [0, 7, -1], [7, -1, -1]]
    with group(sizes) as (chip, shard):
        handle = send(chip, given)
        answer(chip, *chip.dispatch_receive(LONG_NS))
        (arrived,) = shard.dispatch_receive(LONG_NS)
        shard.combine_send(arrived, None)
        with pytest.raises(RankRefused, match="rank 1 has refused"):
            chip.combine_receive(handle, LONG_NS)
        combined = chip.combine_receive_partial(handle, LONG_NS)
        (missing,) = combined.missing
        assert (missing.rank, missing.tokens.tolist()) == (1, [1, 2])
        assert isinstance(missing.error, RankRefused)
        assert np.array_equal(combined.sums_TH[:2], given.hidden_TH[:2])
        assert not combined.sums_TH[2].any()
        assert send(chip, given).num_tokens == 3  # it lives, and takes others


def test_who_is_dead_ends_the_waits_for_it(rng):
    """What others answered is still to be had, and what it sent before it died too."""
    sizes = geometry(world=3, num_experts=9, **EXACT)
    given = tokens(rng, sizes, 2)
    given.experts_TK[:] = [[0, 4, 8]] * 2
    with group(sizes) as (chip, shard, dying):
        handle, last = send(chip, given), send(dying, given)
        for rank in (chip, shard):
            answer(rank, *rank.dispatch_receive(LONG_NS, (0,)))
        dying.close()
        with pytest.raises(RankDead, match="rank 2 is dead"):
            chip.combine_receive(handle, LONG_NS)
        combined = chip.combine_receive_partial(handle, LONG_NS)
        assert [(m.rank, m.tokens.tolist()) for m in combined.missing] == [(2, [0, 1])]
        assert np.array_equal(combined.sums_TH, given.hidden_TH * 2.0)
        (arrived,) = shard.dispatch_receive(LONG_NS, (2,))
        assert not answer(shard, arrived)
        with pytest.raises(RankDead):
            shard.dispatch_receive(LONG_NS, (0, 2))
        assert chip.alive() == (0, 1)
        handle = send(chip, given)
        with pytest.raises(RankDead):
            chip.combine_receive(handle, LONG_NS)
        del last
