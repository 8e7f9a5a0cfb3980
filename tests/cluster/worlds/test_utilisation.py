"""No resource is used by more than all of it, and a run in which one was ends with its name."""

import pytest

from cluster.worlds.virtual import Overbooked, VirtualWorld
from tests.cluster.worlds.cluster import ask_all, run, with_cards
from tests.cluster.worlds.test_virtual import mixed
from workers.hardware.sharing.in_order import Fifo


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
