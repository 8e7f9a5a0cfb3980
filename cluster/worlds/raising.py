"""How a cluster stands up, and how one node of it comes back: the same steps in every world."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cluster.worlds.blueprint import Blueprint
from workers.wire.membership import Member

# Told of each step of a start.
OnStep = Callable[[str], None]
FIRST_EPOCH = 1
# How a cluster ends, the same in every world: each question is put to every node, and answered,
# before the next. What HTTP servers drain still needs every other node.
ENDING = ("stop_http", "stop")


class Seats(Protocol):
    """The seats of a world, wherever they are."""

    async def place(self, node: str, epoch: int) -> None:
        """Make a seat for an incarnation of a node; nothing of it runs yet."""
        ...

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> Mapping[str, Any]:
        """Put a question to some seats, at once where they run at once; node -> answer."""
        ...


async def raise_cluster(blueprint: Blueprint, seats: Seats, on_step: OnStep) -> list[Member]:
    """Let all nodes stand, meet each other, and bring the collections. Returns the members."""
    names = [node.name for node in blueprint.plan.nodes]
    on_step(f"starting {len(names)} node{'s' if len(names) > 1 else ''}")
    for name in names:
        await seats.place(name, FIRST_EPOCH)
    found = await seats.ask_each(names, "listen")
    members: list[Member] = [found[name] for name in names]
    on_step("connecting")
    await seats.ask_each(names, "meet", members)
    on_step("loading workers")
    await seats.ask_each(names, "build")
    await seats.ask_each(names, "open")
    if blueprint.scenario.placement.collections:
        on_step("loading collections")
        await seats.ask_each([blueprint.node_of("router").name], "preload")
    return members


async def raise_again(
    seats: Seats, living: Sequence[Member], node: str, epoch: int
) -> list[Member]:
    """The next incarnation of a node that is gone: it meets those who live, then they meet it.
    Returns the members as they are now.
    """
    others = [member for member in living if member.node != node]
    names = [member.node for member in others]
    await seats.ask_each(names, "part", node, "its next incarnation starts")
    await seats.place(node, epoch)
    new: Member = (await seats.ask_each([node], "listen"))[node]
    await seats.ask_each([node], "meet", others)
    await seats.ask_each([node], "build")
    await seats.ask_each(names, "meet", [new])
    await seats.ask_each([node], "open")
    return [*others, new]
