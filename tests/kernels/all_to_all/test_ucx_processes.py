"""Ranks in processes of their own, over UCX and loopback: order, death and return."""

import time
from typing import Any

import pytest

from kernels.all_to_all import AttachRefused, RankDead, UcxAllToAll
from tests.kernels.all_to_all.ranks import (
    LONG_NS,
    NEEDS_LIBUCX,
    SECRET,
    Child,
    children,
    geometry,
)

pytestmark = [pytest.mark.live, NEEDS_LIBUCX]


@pytest.mark.parametrize("form", ["fp32", "bf16", "int8"])
def test_many_rounds_in_lock_step_have_the_hash_of_shared_memory(form):
    """Each row is checked where it arrives as well."""
    sizes = geometry(capacity=5, hidden=136, send=form, back="fp64" if form == "fp32" else "fp32")
    said = []
    for far in ("", "tcp"):
        with children("rounds", sizes, seed=11, rounds=300, ucx=far) as ranks:
            said.append([rank.hear() for rank in ranks])
    assert said[0] == said[1]


@pytest.mark.parametrize("transports", ["tcp", "posix,cma,self"])
def test_a_killed_process_ends_the_waits_for_it(transports):
    """Its socket ends with it; over shared memory a keepalive finds that out."""
    with children("waits", geometry(world=3), source=2, ucx=transports) as ranks:
        time.sleep(0.1)
        ranks[2].kill()
        start = time.monotonic()
        assert [rank.hear() for rank in ranks[:2]] == ["RankDead: rank 2 is dead"] * 2
        assert time.monotonic() - start < 10


def test_a_killed_shard_is_missed_by_token_and_its_next_incarnation_serves():
    sizes = geometry(world=3, num_experts=2, experts_per_token=2, capacity=1)
    where: dict[str, Any] = {"owners": [1, 2, -1]}
    started = [Child("chip", 0, sizes, rounds=40, ucx="tcp", **where)]
    try:
        started += [Child("shard", rank, sizes, rounds=40, ucx="tcp") for rank in (1, 2)]
        for child in started:
            child.say([other.address for other in started])
        assert [child.hear() for child in started] == [[40, 0], 40, 40]
        started[2].kill()
        started[1].say([])
        started[0].say([])
        whole, missed = started[0].hear()
        assert whole + missed == 40 and missed > 0
        assert started[1].hear() == 40
        again = Child("shard", 2, sizes, epoch=2, rounds=40, ucx="tcp")
        started.append(again)
        addresses = [child.address for child in started[:2]]
        again.say(addresses)
        for child in started[:2]:
            child.say([again.address])
        assert started[0].hear() == [40, 0]
        assert started[1].hear() == again.hear() == 40
    finally:
        for child in started:
            child.end()


def test_an_incarnation_waits_for_the_end_of_its_predecessor():
    sizes = geometry()
    rank = UcxAllToAll(sizes, 0, SECRET)
    first, late, early = (Child("waits", 1, sizes, epoch=e, source=0, ucx="tcp") for e in (5, 6, 4))
    try:
        for child in (first, late):
            child.say([rank.address.hex()])
        rank.attach(bytes.fromhex(first.address))
        with pytest.raises(AttachRefused, match="rank 1 still lives in epoch 5; it must end"):
            rank.attach(bytes.fromhex(late.address))
        with pytest.raises(AttachRefused, match=r"known in epoch 5; .* later one, not 4"):
            rank.attach(bytes.fromhex(early.address))
        first.kill()
        with pytest.raises(RankDead):
            rank.dispatch_receive(LONG_NS, (1,))
        rank.attach(bytes.fromhex(late.address))
        assert rank.alive() == (0, 1)
        late.kill()
        with pytest.raises(RankDead):
            rank.dispatch_receive(LONG_NS, (1,))
    finally:
        rank.close()
        for child in (first, late, early):
            child.end()


def take_all(rank: UcxAllToAll, source: int) -> None:
    while True:
        rank.dispatch_receive(LONG_NS, (source,))


def test_a_message_of_which_a_part_is_missing_is_in_nobodys_way():
    """1 MiB is fetched from its sender, who is killed before or while that is done: the next
    incarnation's has the same place, and is whole.
    """
    sizes = geometry(capacity=1, hidden=1 << 18, num_experts=1, experts_per_token=1)
    task: dict[str, Any] = {"owners": [0, -1], "rounds": 3, "ucx": "tcp"}
    rank = UcxAllToAll(sizes, 0, SECRET)
    for epoch in range(1, 5):
        child = Child("chip", 1, sizes, epoch=epoch, **task)
        rank.attach(bytes.fromhex(child.address))
        child.say([rank.address.hex()])
        if epoch < 4:
            time.sleep(0.01 * 4**epoch)
            child.kill()
            with pytest.raises(RankDead):
                take_all(rank, 1)
        else:
            for turn in range(3):
                (arrived,) = rank.dispatch_receive(LONG_NS, (1,))
                assert (arrived.tag, arrived.epoch) == (turn, 4)
                assert (arrived.rows == turn).all()
                rank.combine_send(arrived, arrived.rows.astype(float))
            assert child.hear() == [3, 0]
        child.end()
    rank.close()


def test_an_address_where_nobody_is_any_more():
    """It is refused at once, where the machine says so, or whoever waits hears that it is dead."""
    rank = UcxAllToAll(geometry(), 0, SECRET)
    gone = Child("waits", 1, geometry(), source=0, ucx="tcp")
    gone.kill()
    gone.end()

    def meet() -> None:
        rank.attach(bytes.fromhex(gone.address))
        rank.dispatch_receive(LONG_NS, (1,))

    with pytest.raises((AttachRefused, RankDead), match=r"does not reach it|rank 1 is dead"):
        meet()
    rank.close()
