"""Processes that share a segment have the links that one process would have."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from configs.schema.network import NetworkSection
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.wire.fabric.crossing import Crossing
from workers.wire.fabric.shared.course import courses
from workers.wire.fabric.shared.fold import Fold
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.segment import RING, Segment
from workers.wire.fabric.shared.starts import SharedWay, Start
from workers.wire.fabric.sharing import FairLinks, FifoLinks, LinkSharing

RATES = {"a": 10**9, "b": 3 * 10**8, "c": 7 * 10**9, "d": 10**8, "e": 10**9}
SECTIONS: dict[str, dict[str, Any]] = {
    "fair": {"sharing": "fair"},
    "strict": {"sharing": "fair", "strict": True, "priorities": {"experts": 3}},
    "fifo": {"sharing": "fifo"},
}
GRACE_NS = 10**6
Send = tuple[int, int, int, tuple[str, ...], tuple[int, ...], int, int]  # at, whose, bytes, ...


class Waits(Crossing):
    """Told an end, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.told = clock, list[tuple[int, int]]()

    def ended(self, end_ns: int) -> None:
        self.told.append((self.clock.now(), end_ns))


def section(kind: str) -> NetworkSection:
    return NetworkSection.model_validate({"type": "switch", **SECTIONS[kind]})


def shared(kind: str, clock: VirtualClock, path: Path, grace_ns: int = GRACE_NS) -> SharedLinks:
    first, course_of = courses(section(kind))
    links = SharedLinks(clock, Segment(path, first.saved()), course_of, grace_ns)
    for name, rate in RATES.items():
        links.add(name, rate)
    return links


def alone(kind: str, clock: VirtualClock) -> LinkSharing:
    links: Any = FifoLinks(clock) if kind == "fifo" else FairLinks(clock)
    for name, rate in RATES.items():
        links.add(name, rate)
    return cast(LinkSharing, links)


def sends(kind: str, seed: int, number: int) -> list[Send]:
    """By 3 processes, at times of their own."""
    rng, found = random.Random(seed), list[Send]()
    for at_ns in sorted(rng.sample(range(10**5), number)):
        names = tuple(rng.sample(sorted(RATES), rng.randint(1, 4)))
        waits_ns = tuple(sorted(rng.randint(0, 500) for _ in names))
        rank = rng.randint(0, 2) if kind == "strict" else 0
        weight = rng.randint(1, 4) if kind == "fair" else 1
        found.append(
            (at_ns, rng.randrange(3), rng.randint(1, 5_000), names, waits_ns, weight, rank)
        )
    return found


def ends(clock: VirtualClock, links: Sequence[LinkSharing], plan: Sequence[Send]) -> list[Any]:
    """What each is told, and what links say of themselves at the end."""
    loop, waiting = virtual_loop(clock), list[Waits]()

    async def run() -> None:
        for at_ns, whose, num_bytes, names, waits_ns, weight, rank in plan:
            await clock.wait_until(at_ns)
            waiting.append(Waits(clock))
            own = links[whose % len(links)]
            own.start_message(at_ns, num_bytes, names, waits_ns, waiting[-1], weight, rank)
        await clock.wait_until(10**9)
        for own in links:
            own.go_on(10**9)

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    assert all(len(one.told) == 1 for one in waiting)
    counts = [
        [(own.peak(n), own.moved_bytes(n, 10**9), own.busy_ns(n, 10**9)) for n in sorted(RATES)]
        for own in links
    ]
    assert counts == counts[:1] * len(links)
    return [one.told[0][1] for one in waiting] + counts[0]


@pytest.mark.parametrize("kind", SECTIONS)
def test_three_processes_name_the_ends_that_one_does(kind: str, tmp_path: Path) -> None:
    for seed in range(8):
        plan, clock, one = sends(kind, seed, 60), VirtualClock(), VirtualClock()
        three = [shared(kind, clock, tmp_path / str(seed)) for _ in range(3)]
        assert ends(clock, three, plan) == ends(one, [alone(kind, one)], plan)
        for own in three:
            own.close()


def folded(kind: str, plan: Sequence[Send], order: Sequence[int], *, look: bool) -> list[Any]:
    """Ends and links when all has left, told of in some order, and perhaps looked at meanwhile."""
    first, course_of = courses(section(kind))
    ways = [SharedWay(one[3], tuple(RATES[name] for name in one[3]), one[4]) for one in plan]
    fold, told = Fold(first.saved(), course_of, ways.__getitem__), dict[Any, int]()
    for i in order:
        at_ns, whose, num_bytes, _, _, weight, rank = plan[i]
        fold.insert(Start(at_ns, whose, i, num_bytes, i, weight, rank))
        if look:
            told.update(fold.to(at_ns + 300))
    told.update(fold.to(10**9))
    links = [(fold.course.busy_ns(n), fold.course.moved_bytes(n)) for n in sorted(RATES)]
    return [*sorted(told.items()), *links]


@pytest.mark.parametrize("kind", SECTIONS)
def test_what_comes_late_is_put_where_it_belongs(kind: str) -> None:
    """In any order, looked at after each: the ends are those of the right order."""
    for seed in range(8):
        plan = sends(kind, seed, 50)
        late = random.Random(seed).sample(range(50), 50)
        assert folded(kind, plan, late, look=True) == folded(kind, plan, range(50), look=False)


@pytest.mark.parametrize("kind", SECTIONS)
def test_who_was_stopped_for_long_goes_on_with_the_others(kind: str, tmp_path: Path) -> None:
    """More has left than the ring holds: what it had sent has ended, and it hears so; and what is
    settled has lost nothing.
    """
    clock = VirtualClock()
    busy, stopped = (shared(kind, clock, tmp_path / "s", grace_ns=0) for _ in range(2))
    number = RING + 300

    async def run() -> None:
        slow, gone = Waits(clock), Waits(clock)
        stopped.start_message(0, 10**9, ("d",), (0,), slow, 1, 0)  # 10 s
        stopped.start_message(0, 10, ("e",), (0,), gone, 1, 0)
        if stopped._timer is not None:
            stopped._timer.cancel()  # its process is stopped
        for i in range(number):
            await clock.wait_until(10 * (i + 1))
            busy.start_message(clock.now(), 5, ("a",), (0,), Waits(clock), 1, 0)
        stopped.go_on(clock.now())
        await clock.wait_until(20 * 10**9)
        assert [end_ns for _, end_ns in slow.told] == [10**10]
        assert len(gone.told) == 1 and gone.told[0][0] <= 10**9
        for own in (busy, stopped):
            own.go_on(clock.now())
            assert own.moved_bytes("a", clock.now()) == 5 * number
            assert own.moved_bytes("d", clock.now()) == 10**9

    loop = virtual_loop(clock)
    loop.run_until_complete(run())
    loop.close()


def test_a_ring_within_its_grace_gives_up_the_grace(tmp_path: Path) -> None:
    clock = VirtualClock()
    links = shared("fair", clock, tmp_path / "s", grace_ns=10**12)

    async def run() -> None:
        for _ in range(RING + 10):
            links.start_message(7, 1, ("c",), (0,), Waits(clock), 1, 0)
        await clock.wait_until(10**9)
        links.go_on(clock.now())
        assert links.moved_bytes("c", clock.now()) == RING + 10

    loop = virtual_loop(clock)
    loop.run_until_complete(run())
    loop.close()


HOLDS = """
import sys
from pathlib import Path
from workers.wire.fabric.shared.segment import Segment
segment = Segment(Path(sys.argv[1]), 0)
with segment.locked():
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_a_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    segment = Segment(path, ("state",))
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"holds\n"
        os.kill(holder.pid, signal.SIGKILL)
        with segment.locked():
            assert segment.refresh().num_owners == 2 and segment.state() == ("state",)
        segment.close()


def test_what_was_half_written_was_never_there(tmp_path: Path) -> None:
    """A process that dies between a start and the header, or between a state and the header."""
    segment = Segment(tmp_path / "s", ("state",))
    with segment.locked():
        header = segment.refresh()
        segment.append([Start(1, 0, 1, 5, 0, 1, 0)])
        segment.settle(9, 1, ("next",))
        segment._write_header(header)
        assert segment.starts(0, segment.refresh().end) == [] and segment.state() == ("state",)
    segment.close()


def test_a_segment_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x" * 8192)
    with pytest.raises(ValueError, match="another version"):
        Segment(tmp_path / "s", 0)
