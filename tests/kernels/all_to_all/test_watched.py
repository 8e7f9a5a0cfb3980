"""Ranks whose event loops are rung: when a pipe has a byte, and when not."""

import contextlib
import os
import select
from typing import Any

import numpy as np
import pytest

from kernels.all_to_all import (
    AllToAll,
    AttachRefused,
    Geometry,
    RankDead,
    RankLate,
    TimedOut,
    WatchedAllToAll,
    arena,
)
from tests.kernels.all_to_all.ranks import (
    EXACT,
    LONG_NS,
    SECRET,
    Child,
    attached,
    for_both,
    geometry,
    owners,
    send,
    tokens,
)


def watched(sizes: Geometry) -> contextlib.AbstractContextManager[list[WatchedAllToAll]]:
    return attached([WatchedAllToAll(sizes, rank, SECRET) for rank in range(sizes.world)])


def is_rung(rank: WatchedAllToAll) -> bool:
    """Whether the pipe has something; what it has is taken."""
    readable = bool(select.select([rank.bell], [], [], 0)[0])
    rank.heard()
    return readable


def answer(rank: AllToAll, value: float = 1.0) -> None:
    for arrived in rank.dispatch_receive(0):
        shape = arrived.num_tokens, rank.geometry.hidden
        rank.combine_send(arrived, np.full(shape, value))


def test_work_rings_once_for_who_asked_and_nobody_else(rng: np.random.Generator) -> None:
    sizes = geometry(world=3, **EXACT)
    given = tokens(rng, sizes, 4)
    given.experts_TK[:] = [[0, 3, 7]] * 4  # one of each rank
    with watched(sizes) as (a, b, c):
        send(c, given)
        assert not is_rung(a), "it did not ask"
        assert not a.await_work(), "something is there"
        answer(a)
        assert a.await_work()
        send(b, given)
        assert is_rung(a) and not is_rung(a)
        answer(a)
        assert a.await_work()
        send(c, given)  # two who ring wake once
        send(b, given)
        assert os.read(a.bell, 100) == b"\0"


def test_answers_ring_when_the_last_is_there(rng: np.random.Generator) -> None:
    sizes = geometry(world=3, **EXACT)
    given = tokens(rng, sizes, 4)
    given.experts_TK[:] = [[0, 3, 7]] * 4
    with watched(sizes) as (a, b, c):
        handle = send(a, given)
        answer(a)
        assert a.await_answers(handle) == 2
        answer(b, 2.0)
        assert not is_rung(a), "one of two"
        answer(c, 4.0)
        assert is_rung(a)
        assert a.await_answers(handle) == 0
        assert (a.combine_receive(handle, 0) == 7.0).all()
        with pytest.raises(ValueError, match="received or dropped"):
            a.await_answers(handle)


def test_who_asks_when_all_is_there_is_not_rung(rng: np.random.Generator) -> None:
    sizes = geometry(**EXACT)
    with watched(sizes) as (a, b):
        handle = send(a, for_both(rng, sizes, 3))
        answer(a)
        answer(b)
        assert a.await_answers(handle) == 0
        send(b, for_both(rng, sizes, 3))
        assert not is_rung(a)


def test_an_answer_that_is_late_is_left_out_and_stands_in_nobody_s_way(
    rng: np.random.Generator,
) -> None:
    sizes = geometry(**EXACT)
    given = for_both(rng, sizes, 3)
    with watched(sizes) as (a, b):
        handle = send(a, given)
        answer(a, 3.0)
        with pytest.raises(TimedOut):
            a.combine_receive_partial(handle, 0)
        combined = a.combine_receive_partial(handle, 0, give_up=True)
        assert (combined.sums_TH == 3.0).all()
        (missing,) = combined.missing
        assert missing.rank == 1 and missing.tokens.tolist() == [0, 1, 2]
        assert isinstance(missing.error, RankLate) and "in time" in str(missing.error)
        send(a, given)
        with pytest.raises(TimedOut):  # the place of the late answer is not free yet
            send(a, given, timeout_ns=0)
        answer(b, 9.0)
        handle = send(a, given, timeout_ns=0)
        answer(a)
        answer(b)
        assert (a.combine_receive(handle, 0) == 2.0).all()


def test_a_rank_that_ends_wakes_those_who_wait_for_it(rng: np.random.Generator) -> None:
    sizes = geometry(**EXACT)
    with watched(sizes) as (a, b):
        handle = send(a, for_both(rng, sizes, 3))
        answer(a)
        assert a.await_answers(handle) == 1
        b.close()
        assert is_rung(a)
        assert a.await_answers(handle) == 0
        with pytest.raises(RankDead):
            a.combine_receive(handle, 0)


def test_one_that_is_said_to_be_dead_wakes_as_well(rng: np.random.Generator) -> None:
    sizes = geometry(**EXACT)
    with watched(sizes) as (a, _):
        handle = send(a, for_both(rng, sizes, 3))
        answer(a)
        assert a.await_answers(handle) == 1
        a.mark_dead(1)
        assert is_rung(a)
        assert a.await_answers(handle) == 0


def test_threads_and_loops_ring_each_other(rng: np.random.Generator) -> None:
    """One rank waits in calls, the other in a loop."""
    sizes = geometry(**EXACT)
    thread, loop = AllToAll(sizes, 0, SECRET), WatchedAllToAll(sizes, 1, SECRET)
    try:
        thread.attach(loop.address)
        loop.attach(thread.address)
        assert loop.await_work()
        handle = send(thread, for_both(rng, sizes, 3))
        assert is_rung(loop)
        answer(thread)
        answer(loop)
        assert (thread.combine_receive(handle, LONG_NS) == 2.0).all()
    finally:
        thread.close()
        loop.close()


def test_another_process_rings(rng: np.random.Generator) -> None:
    sizes = geometry(send="fp32", back="fp32")
    given = for_both(rng, sizes, 3)
    loop = WatchedAllToAll(sizes, 0, SECRET)
    child = Child("shard", 1, sizes, rounds=3)
    try:
        loop.attach(child.address)
        child.say([loop.address])
        for _ in range(3):
            handle = loop.dispatch_send(given, owners(sizes), LONG_NS)
            for arrived in loop.dispatch_receive(0):
                loop.combine_send(arrived, arrived.floats())
            while loop.await_answers(handle):
                assert select.select([loop.bell], [], [], 60)[0]
                loop.heard()
            assert np.array_equal(loop.combine_receive(handle, 0), 2 * given.hidden_TH)
        assert child.hear() == 3, "it answered all of them"
    finally:
        loop.close()
        child.end()


def test_a_pipe_that_is_full_or_gone_ends_nobody(rng: np.random.Generator) -> None:
    sizes = geometry(**EXACT)
    given = for_both(rng, sizes, 3)
    with watched(sizes) as (a, b):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(a.pipe, bytes(4096))
        for _ in range(2):
            assert a.await_work()
            handle = send(b, given)
            answer(a)
            answer(b)
            b.combine_receive(handle, 0)
        assert a.await_work()
        a.close()
        handle = send(b, given)
        answer(b)
        assert [one.rank for one in b.combine_receive_partial(handle, 0).missing] == [0]


@pytest.mark.parametrize("found", ["a file", "nothing"])
def test_what_is_no_pipe_is_not_rung(tmp_path: Any, found: str) -> None:
    """A header says whatever its owner wrote; nobody else's file is written to."""
    sizes = geometry(**EXACT)
    path = tmp_path / "precious"
    path.write_bytes(b"as it was")
    file = os.open(path, os.O_RDWR)
    number = file if found == "a file" else 900
    memory, address = arena.create(sizes, 1, 1, SECRET, number)
    try:
        with (
            contextlib.closing(WatchedAllToAll(sizes, 0, SECRET)) as rank,
            pytest.raises(AttachRefused, match=r"no pipe|No such file"),
        ):
            rank.attach(address)
        assert path.read_bytes() == b"as it was"
    finally:
        os.close(memory)
        os.close(file)


def test_nothing_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with watched(geometry(**EXACT)):
        pass
    assert len(os.listdir("/proc/self/fd")) <= before
