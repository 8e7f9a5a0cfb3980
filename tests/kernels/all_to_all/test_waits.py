"""Waits: what ends them, how long they may be, and who else runs meanwhile."""

import contextlib
import signal
import threading
import time

import pytest

from kernels.all_to_all import AllToAll, RankDead, TimedOut
from tests.kernels.all_to_all.ranks import (
    EXACT,
    LONG_NS,
    SECOND_NS,
    SECRET,
    SHORT_NS,
    Child,
    for_both,
    geometry,
    group,
    send,
    tokens,
)


@pytest.mark.parametrize("how", ["mark_dead", "close"])
def test_another_thread_ends_a_wait(how):
    sizes = geometry(**EXACT)
    with group(sizes) as (one, other):
        ended: list[BaseException] = []

        def wait():
            try:
                one.dispatch_receive(LONG_NS, (1,))
            except (RankDead, ValueError) as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.02)  # so that it sleeps, most of the time
        one.mark_dead(1) if how == "mark_dead" else other.close()
        thread.join(10)
        assert [type(error) for error in ended] == [RankDead]


def test_waits_let_other_threads_run_and_are_for_one_thread_a_side(rng):
    sizes = geometry(**EXACT)
    with group(sizes) as (one, other):
        came: list[int] = []

        def wait():
            while not came:
                with contextlib.suppress(ValueError):  # the other thread's look was first
                    came.extend(arrived.tag for arrived in one.dispatch_receive(LONG_NS))

        thread = threading.Thread(target=wait)
        thread.start()
        for _ in range(100_000):
            try:
                one.dispatch_receive(0)
            except TimedOut:
                continue
            except ValueError as error:
                said = str(error)
                break
        assert "another thread is in dispatch_receive or combine_send" in said
        assert one.combine_receive(send(one, tokens(rng, sizes, 0)), 0).shape == (0, 200)
        send(other, for_both(rng, sizes, 1), 5)
        thread.join(10)
        assert came == [5]


@pytest.mark.parametrize("timeout_ns", [0, SHORT_NS, 120_000_000])
def test_a_timeout_is_kept(rng, timeout_ns):
    sizes = geometry(**EXACT)
    with group(sizes) as (chip, _):
        handle = send(chip, for_both(rng, sizes, 1))
        for call in (
            lambda: chip.dispatch_receive(timeout_ns, (1,)),
            lambda: chip.combine_receive(handle, timeout_ns),
        ):
            start = time.monotonic_ns()
            with pytest.raises(TimedOut, match=f"within {timeout_ns} ns"):
                call()
            assert timeout_ns <= time.monotonic_ns() - start < timeout_ns + 5 * SECOND_NS


def test_looking_is_for_ranks_that_have_processors():
    """Zero as soon as more ranks are attached than processors are theirs."""
    with group(geometry(world=1)) as (rank,):
        assert rank.spin_ns == 20_000
    with group(geometry(world=65)) as ranks:
        assert ranks[0].spin_ns == (0 if len(ranks[0]._cpus[0]) < 65 else 20_000)
        assert not ranks[0].spin_ns or len(ranks[0]._cpus[0]) >= 65
    with group(geometry(), spin_ns=5) as ranks:
        assert [rank.spin_ns for rank in ranks] == [5, 5]


def test_a_signal_ends_a_wait():
    """As ctrl-c does, though the wait is native."""
    child = Child("waits", 1, geometry(), source=0)
    rank = AllToAll(geometry(), 0, SECRET)
    try:
        child.say([rank.address])
        time.sleep(0.2)
        child.process.send_signal(signal.SIGINT)
        assert child.hear() == "interrupted"
    finally:
        rank.close()
        child.end()
