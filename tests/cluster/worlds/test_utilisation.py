"""No resource is used by more than all of it, and a run in which one was ends with its name."""

import pytest

from cluster.worlds.virtual import Overbooked, TimeLost, VirtualWorld
from tests.cluster.worlds.cluster import ask_all, run, with_cards
from tests.cluster.worlds.test_virtual import mixed
from workers.hardware.sharing.base import Ended
from workers.hardware.sharing.in_order import Fifo
from workers.hardware.taken import Taken


async def job(world: VirtualWorld) -> dict[str, float]:
    """Busiest resource of each kind, as a share of the time."""
    await ask_all(world, mixed(8))
    busiest = dict[str, float]()
    for node in world.nodes.values():
        for name, busy_ns in node.busy_ns().items():
            share = busy_ns / world.clock.now()
            busiest[name] = max(share, busiest.get(name, 0))
    return busiest


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_every_resource_of_a_run_has_worked_at_most_the_time(sharing: str) -> None:
    rule = {"type": "bandwidth", "kind": "kv_blocks", "attributes": {"rate": "1 GB/s"}}
    links = {
        f"cluster.nodes.{node}.link.sharing": sharing for node in ("prefill", "decode", "experts")
    }
    busiest = run(with_cards({"faults": [rule], **links}), job)
    assert {"compute.fp32", "hbm.read", "scalar", "link.out", "link.in"} <= set(busiest)
    assert {"link.out.fault-0", "link.in.fault-0"} <= set(busiest)
    assert all(0 <= share <= 1 for share in busiest.values())
    for name in ("hbm.read", "link.out", "link.in", "link.in.fault-0"):
        assert busiest[name] > 0, name


def test_a_resource_that_serves_two_at_once_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a queue would that nobody waits in."""

    def join(self: Fifo, now_ns: int, service_ns: int) -> int:
        self._taken_ns += 1_000 * service_ns
        return now_ns + service_ns

    monkeypatch.setattr(Fifo, "join", join)
    with pytest.raises(Overbooked, match=r"of \S+ has worked \d+ ns by \d+ ns: a resource"):
        run(with_cards(), job)


def test_a_resource_that_works_less_than_what_it_moved_takes_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one would that forgets a part of what it serves."""

    def join(self: Fifo, now_ns: int, service_ns: int) -> int:
        begin_ns = max(now_ns, self.free_ns)
        self.free_ns = begin_ns + service_ns
        self._taken_ns += service_ns * 9 // 10
        return self.free_ns

    monkeypatch.setattr(Fifo, "join", join)
    with pytest.raises(TimeLost, match=r"\S+: \S+: busy \d+ ns, and what was moved takes \d+ ns"):
        run(with_cards(), job)


def test_work_that_nobody_asked_for_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a resource whose demands are told too early that they have ended."""
    until = Taken.until

    def early(self: Taken, now_ns: int, ended: Ended) -> Ended:
        told = until(self, now_ns, lambda _: None)
        told(now_ns)
        return ended

    monkeypatch.setattr(Taken, "until", early)
    with pytest.raises(TimeLost, match=r"\S+: \S+: waiting_ns is -\d+: busy \d+ ns, asked for"):
        run(with_cards(), job)
