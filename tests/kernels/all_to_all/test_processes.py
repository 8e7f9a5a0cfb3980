"""Ranks in processes of their own: order, death, return, and what is left behind."""

import gc
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kernels.all_to_all import AllToAll, AttachRefused, RankDead
from tests.kernels.all_to_all.ranks import LONG_NS, SECRET, Child, children, geometry
from tests.shared_memory import left_behind, names


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("form", ["fp32", "bf16", "int8"])
def test_many_rounds_of_random_experts(world, form):
    """DeepEP's trick: a row is its rank's number and, in the last channels, its token's; experts
    are random, some nobody. Each row is checked where it arrives, and two runs have one hash.
    """
    sizes = geometry(
        world=world, capacity=5, hidden=136, experts_per_token=3, send=form,
        back="fp64" if form == "fp32" else "fp32",
    )  # fmt: skip
    runs = []
    for _ in range(2):
        with children("rounds", sizes, seed=11, rounds=300) as ranks:
            runs.append([rank.hear() for rank in ranks])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == world


def test_chips_that_dispatch_and_shards_that_compute():
    """Two of each; no chip has experts, no shard has tokens, and each goes at its own pace."""
    sizes = geometry(world=4, num_experts=2, experts_per_token=2, capacity=1)
    where: dict[str, Any] = {"owners": [2, 3, -1]}
    started: list[Child] = []
    try:
        started += [Child("chip", 0, sizes, rounds=200, **where)]
        started += [Child("chip", 1, sizes, rounds=50, **where)]
        started += [Child("shard", rank, sizes, rounds=250) for rank in (2, 3)]
        for child in started:
            child.say([other.address for other in started])
        assert [child.hear() for child in started] == [[200, 0], [50, 0], 250, 250]
    finally:
        for child in started:
            child.end()


def test_a_killed_process_ends_the_waits_for_it():
    sizes = geometry(world=3)
    with children("waits", sizes, source=2) as ranks:
        time.sleep(0.1)
        ranks[2].kill()
        start = time.monotonic()
        said = [rank.hear() for rank in ranks[:2]]
        assert said == ["RankDead: rank 2 is dead"] * 2
        assert time.monotonic() - start < 10


def test_a_killed_shard_is_missed_by_token_and_its_next_incarnation_serves():
    """It is not taken for its predecessor: rounds begin anew, under a later epoch."""
    sizes = geometry(world=3, num_experts=2, experts_per_token=2, capacity=1)
    where: dict[str, Any] = {"owners": [1, 2, -1]}
    started = [Child("chip", 0, sizes, rounds=40, **where)]
    try:
        started += [Child("shard", rank, sizes, rounds=40) for rank in (1, 2)]
        for child in started:
            child.say([other.address for other in started])
        assert [child.hear() for child in started] == [[40, 0], 40, 40]
        started[2].kill()
        # The shard that lives is asked and answers, the chip knows what is missing.
        started[1].say([])
        started[0].say([])
        assert started[0].hear() == [0, 40]
        assert started[1].hear() == 40
        again = Child("shard", 2, sizes, epoch=2, rounds=40)
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
    rank = AllToAll(sizes, 0, SECRET)
    first, late, early = (Child("waits", 1, sizes, epoch=e, source=0) for e in (5, 6, 4))
    try:
        rank.attach(first.address)
        with pytest.raises(AttachRefused, match="rank 1 still lives in epoch 5; it must end"):
            rank.attach(late.address)
        with pytest.raises(AttachRefused, match=r"known in epoch 5; .* later one, not 4"):
            rank.attach(early.address)
        with pytest.raises(AttachRefused, match="known in epoch 5"):
            rank.attach(first.address)
        first.kill()
        rank.attach(late.address)
        assert rank.alive() == (0, 1)
        late.kill()
        with pytest.raises(RankDead):
            rank.dispatch_receive(LONG_NS, (1,))
        with pytest.raises(AttachRefused, match="No such process"):
            rank.attach(late.address)
    finally:
        rank.close()
        for child in (first, late, early):
            child.end()


def test_nothing_is_left_behind():
    """Not even by kill -9: an arena has no name, and goes with the last who has it."""
    gc.collect()
    open_before, shared = len(arenas_of(os.getpid())), names()
    sizes = geometry()
    rank = AllToAll(sizes, 0, SECRET)
    child = Child("waits", 1, sizes, source=0)
    rank.attach(child.address)
    assert not left_behind(shared, of=os.getpid())
    child.kill()
    child.end()
    # The way in, and the one of this rank's own views; a peer's arena is mapped, not open.
    assert len(arenas_of(os.getpid())) == open_before + 2
    rank.close()
    del rank
    gc.collect()
    assert len(arenas_of(os.getpid())) == open_before
    assert not left_behind(shared, of=os.getpid())


def arenas_of(pid: int) -> list[str]:
    """Arenas that a process has open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:
            continue  # the one that lists them
    return [name for name in found if "perfuse-all-to-all" in name]


def test_a_fork_is_not_the_rank():
    """It has the same memory; that it ends says nothing of the rank."""
    sizes = geometry()
    ranks = [AllToAll(sizes, number, SECRET) for number in range(2)]
    ranks[0].attach(ranks[1].address)
    pid = os.fork()
    if pid == 0:
        ranks[1].close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert ranks[0].alive() == (0, 1)
    for rank in ranks:
        rank.close()
