"""How a cluster stands up, how nodes of it come back, how it gets more chips and gives some
up: the same steps in every world.
"""

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
# A gateway drains for its own `drain_timeout_s`, and then tells whoever is left. Sockets close at
# once, or never.
END_TIMEOUT_S = {"stop_http": 120.0, "stop": 10.0}


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
    seats: Seats,
    living: Sequence[Member],
    epochs: Mapping[str, int],
    seats_of_others: Seats | None = None,
) -> list[Member]:
    """The next incarnations of nodes that are gone: they meet those who live, and each other, then
    those who live meet them. Returns the members as they are now. `seats_of_others`: how those who
    live are asked, where that is another way.
    """
    others = [member for member in living if member.node not in epochs]
    names, asking = [member.node for member in others], seats_of_others or seats
    for node in epochs:
        await asking.ask_each(names, "part", node, "its next incarnation starts")
    new = await _built(seats, others, epochs)
    await asking.ask_each(names, "meet", new)
    await seats.ask_each(list(epochs), "open")
    return [*others, *new]


async def _built(seats: Seats, others: Sequence[Member], epochs: Mapping[str, int]) -> list[Member]:
    """Nodes that have met those who live, and each other, and whom nobody else has met."""
    names = list(epochs)
    for node, epoch in epochs.items():
        await seats.place(node, epoch)
    found = await seats.ask_each(names, "listen")
    new: list[Member] = [found[name] for name in names]
    await seats.ask_each(names, "meet", [*others, *new])
    await seats.ask_each(names, "build")
    return new


# -- more chips, and fewer -------------------------------------------------------------------------


async def raise_more(
    seats: Seats, living: Sequence[Member], blueprint: Blueprint, epochs: Mapping[str, int]
) -> list[Member]:
    """Further nodes of chips join a cluster that serves: `blueprint` has them. The router meets
    them last: whoever it tells of them knows them by then. Returns the members as they are now.
    """
    router, names = blueprint.node_of("router").name, [member.node for member in living]
    await seats.ask_each(names, "extend", blueprint)
    new = await _built(seats, living, epochs)
    await seats.ask_each([name for name in names if name != router], "meet", new)
    await seats.ask_each(list(epochs), "open")
    await seats.ask_each([router], "meet", new)
    return [*living, *new]


async def busy_with(
    seats: Seats, living: Sequence[Member], blueprint: Blueprint, leaving: Sequence[str]
) -> list[str]:
    """Nodes of chips that are to leave and have something left to do, or to let go of; nothing new
    comes to any of them from now on.
    """
    router, directory = blueprint.node_of("router").name, blueprint.plan.directory
    chips = [worker for worker, node in directory.items() if node in leaving]
    busy = [directory[chip] for chip in (await seats.ask_each([router], "drain", chips))[router]]
    if busy:
        return busy
    here = [member.node for member in living if member.node in leaving]
    held = await seats.ask_each(here, "chips_hold")
    return [node for node in here if any(held[node].values())]


async def part_with(
    seats: Seats, living: Sequence[Member], blueprint: Blueprint, leaving: Sequence[str]
) -> list[Member]:
    """Nodes leave that are busy with nothing (`busy_with`), and that `blueprint` has no more.
    Returns the members as they are now.
    """
    staying = [member for member in living if member.node not in leaving]
    names = [member.node for member in staying]
    await seats.ask_each(names, "extend", blueprint)
    for node in leaving:
        await seats.ask_each(names, "part", node, "it was removed")
    gone = [member.node for member in living if member.node in leaving]
    for question in ENDING:
        await seats.ask_each(gone, question)
    return staying
