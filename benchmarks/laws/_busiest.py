"""How much of a resource was used at most, over any stretch of a run: found beside the resource's
own account, from what was asked of it and when that ended.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from configs.schema.link import LinkSpec
from tests.golden.scenarios import SCENARIOS
from workers.hardware.sharing.base import Ended, Rate, Shared
from workers.wire.curve import Curve
from workers.wire.lane import Lane, Traveller


@dataclass
class Services:
    """What one resource did: begin and end of each service, and how long it takes alone."""

    begins_ns: list[int] = field(default_factory=list)
    ends_ns: list[int] = field(default_factory=list)
    alone_ns: list[float] = field(default_factory=list)

    def add(self, begin_ns: int, end_ns: int, alone_ns: float) -> None:
        self.begins_ns.append(begin_ns)
        self.ends_ns.append(end_ns)
        self.alone_ns.append(alone_ns)

    def busiest(self) -> float:
        """The largest share of any stretch that services took which lie wholly in it."""
        order = np.argsort(self.ends_ns, kind="stable")
        begins, ends = np.array(self.begins_ns)[order], np.array(self.ends_ns)[order]
        alone = np.array(self.alone_ns)[order]
        most = 0.0
        for begin_ns in np.unique(begins):
            inside = (begins >= begin_ns) & (ends > begin_ns)
            if inside.any():
                done = np.cumsum(alone[inside])
                most = max(most, float(np.max(done / (ends[inside] - begin_ns))))
        return most


class WatchedShare:
    """A shared resource, and a note of each service."""

    def __init__(self, shared: Shared, services: Services) -> None:
        self._shared, self._services = shared, services

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        pieces: int = 1,
    ) -> Any:
        def noted(end_ns: int) -> None:
            self._services.add(now_ns, end_ns, float(amount * 10**9 / rate_per_s))
            ended(end_ns)

        return self._shared.serve(now_ns, amount, rate_per_s, noted, limit_per_s, pieces)

    def begins_ns(self, now_ns: int) -> int:
        return self._shared.begins_ns(now_ns)

    def busy_ns(self, now_ns: int) -> int:
        return self._shared.busy_ns(now_ns)


class WatchedLane:
    """A lane, and a note of each message; a promise that is taken back is no end."""

    def __init__(self, lane: Lane, services: Services, link: LinkSpec) -> None:
        self._lane, self._services, self._curve = lane, services, Curve(link)
        self.keeps_promises = lane.keeps_promises

    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        watched = None
        index, services = len(self._services.ends_ns), self._services
        services.add(now_ns, now_ns, self._curve.parts(num_bytes) * 1e9 / self._curve.parts_per_s)
        if traveller is not None:
            watched = _Watched(traveller, services, index)
        begin_ns, end_ns = self._lane.start(now_ns, num_bytes, watched, limit_bytes_per_s)
        services.ends_ns[index] = end_ns
        return begin_ns, end_ns

    def busy_ns(self, now_ns: int) -> int:
        return self._lane.busy_ns(now_ns)


@dataclass
class _Watched:
    traveller: Traveller
    services: Services
    index: int

    def took_back(self) -> None:
        self.services.ends_ns[self.index] = -1
        self.traveller.took_back()

    def ended(self, end_ns: int) -> None:
        self.services.ends_ns[self.index] = end_ns
        self.traveller.ended(end_ns)


def watch(world: VirtualWorld) -> dict[str, Services]:
    """Note from now on what every resource of every node does; a bus is one for both directions."""
    seen: dict[str, Services] = {}
    for name, node in world.nodes.items():
        shares: dict[int, WatchedShare] = {}
        for what, resource in node.hardware.resources.items():
            key = id(resource.shared)
            if key not in shares:
                services = seen[f"{what} of {name}"] = Services()
                shares[key] = WatchedShare(resource.shared, services)
            resource.shared = shares[key]
        for way, side in (("out", node.endpoint.egress), ("in", node.endpoint.ingress)):
            services = seen[f"link.{way} of {name}"] = Services()
            side.lane = WatchedLane(side.lane, services, node.endpoint.link)
    return seen


def busiest_window(name: str) -> tuple[float, str, int]:
    """Of a golden scenario: the largest share, of which resource, and how many services."""
    base, changes = SCENARIOS[name]
    blueprint = Blueprint.draw(load_scenario(base, dict(changes)))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> dict[str, Services]:
        seen = watch(world)
        await Driver(world.gateway, world.client, lambda _: None).run(workload)
        return seen

    seen = run_virtual(blueprint, job)
    shares = [(services.busiest(), what) for what, services in seen.items() if services.ends_ns]
    return (*max(shares), sum(len(services.ends_ns) for services in seen.values()))
