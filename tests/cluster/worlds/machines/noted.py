"""A cluster on machines whose seats only note what they are asked, and placement groups that are
names.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any

from cluster.worlds.machines.bundles import placements_of
from cluster.worlds.machines.mender import Mender
from cluster.worlds.machines.scaler import Scaler
from cluster.worlds.machines.setup import Setup
from tests.cluster.worlds.machines.test_bundles import drawn
from workers.errors import PeerDead
from workers.wire.membership import Member

HOSTS = {"id1": "h1", "id2": "h2"}


def in_loop(job: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(job)
    def run(**fixtures: Any) -> None:
        asyncio.run(job(**fixtures))

    return run


class Seats:
    """A fleet without processes. asked: (node, question) in order; fails: question -> node."""

    def __init__(self) -> None:
        blueprint = drawn()
        placements = tuple(placements_of(blueprint.scenario.cluster, blueprint.plan))
        self.setup = Setup("demo", blueprint, placements, "grpc", "", {}, HOSTS, {})
        self.nodes = [node.name for node in blueprint.plan.nodes]
        self.epochs = dict.fromkeys(self.nodes, 1)
        self.where = dict.fromkeys(self.nodes, "id1")
        self.disks = dict(self.where)
        self.asked: list[tuple[str, str]] = []
        self.forgotten: list[str] = []
        self.fails: dict[str, str] = {}
        self.busy: list[list[str]] = []

    def become(self, setup: Setup) -> None:
        self.setup = setup

    async def place(self, node: str, epoch: int) -> None:
        self.setup.place_of(node)
        self.epochs[node], self.where[node], self.disks[node] = epoch, "id2", "id2"

    async def ask_each(self, nodes: Sequence[str], question: str, *args: Any) -> dict[str, Any]:
        return {node: await self.ask(node, question, *args) for node in nodes}

    async def ask(self, node: str, question: str, *args: Any, timeout_s: float = 0) -> Any:
        if node in self.forgotten or self.fails.get(question) == node:
            raise PeerDead(f"{node} is gone: its process ended", node=node)
        self.asked.append((node, question))
        link = self.setup.blueprint.plan.node(node).link if question == "listen" else None
        answers: Mapping[str, Any] = {
            "listen": link and Member(node, self.epochs[node], link),
            "drain": self.busy.pop() if question == "drain" and self.busy else [],
            "chips_hold": {"jobs": 0},
            "pid": 7,
        }
        return answers.get(question)

    def forget(self, node: str) -> None:
        self.forgotten.append(node)

    def who(self, question: str) -> set[str]:
        return {node for node, asked in self.asked if asked == question}

    @property
    def added(self) -> list[str]:
        return [one.name for one in self.setup.placements if one.name.startswith("added/")]


class Ray:
    """Placement groups by name."""

    def __init__(self) -> None:
        self.groups: dict[str, Any] = {}

    def make(self, bundles: Sequence[Any], *, name: str, **options: Any) -> str:
        assert name not in self.groups, "no name is used twice"
        self.groups[name] = options["bundle_label_selector"][0]["ray.io/node-id"]
        return name

    async def machine_of(self, group: str, name: str, number: int) -> str:
        return "id2"


class Standing:
    """A cluster of such seats. Made inside the event loop."""

    def __init__(self, restarts: int = 3) -> None:
        self.seats = seats = Seats()
        plan = seats.setup.blueprint.plan
        members = [Member(node.name, 1, node.link) for node in plan.nodes]

        async def came_back(node: str, is_elsewhere: bool) -> None:
            """Nobody looks."""

        pids = dict.fromkeys(seats.nodes, 7)
        self.mender = Mender(seats, members, pids, restarts, came_back)  # type: ignore[arg-type]
        self.steps: list[str] = []
        self.scaler = Scaler(seats, self.mender, self.steps.append)  # type: ignore[arg-type]

    @property
    def living(self) -> list[str]:
        return [f"{one.node}/{one.epoch}" for one in self.mender.members if "code" in one.node]
