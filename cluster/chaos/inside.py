"""What workers themselves say that they hold for requests, and whether their own books agree. A
look at the watched from inside: it only comes on top of what is seen from outside (`laws.clean`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from workers.chip.chip import Chip
from workers.errors import CorruptMessage, NotFound
from workers.memory.memory_server import MemoryServer

T = TypeVar("T")


def workers_of(world: VirtualWorld, kind: type[T], dead: Sequence[str] = ()) -> dict[str, T]:
    """Workers by name, found by the handlers that they registered; not those on `dead` nodes."""
    found: dict[str, T] = {}
    for node in (node for name, node in world.nodes.items() if name not in dead):
        for (name, _), handler in node.endpoint.incoming.handlers().items():
            worker = getattr(handler, "__self__", None)
            if isinstance(worker, kind):
                found[name] = worker
    return found


def read_damaged(
    world: VirtualWorld, damaged: Mapping[str, Sequence[bytes]], dead: Sequence[str] = ()
) -> None:
    """Read what page errors hit (node -> keys): a pool gives nothing of it, and drops it. What it
    keeps after that must be whole.
    """
    wanted = {key for keys in damaged.values() for key in keys}
    for server in workers_of(world, MemoryServer, dead).values():
        for key in sorted(wanted):
            with suppress(NotFound, CorruptMessage):
                server.pool.get([key])


def held(world: VirtualWorld, *, healed: bool, dead: Sequence[str] = ()) -> dict[str, int]:
    """What is held for requests (law 4), as non-zero counts. Over a link that stays cut, calls that
    must arrive are said again and again: that is left out where nothing heals. Nobody asks `dead`
    nodes.
    """
    counts: dict[str, int] = {}
    if world.gateway.name not in dead:
        inside = world.client.held()
        counts = {"readers": inside["readers"], "inside": inside["inside"]}
    for name, chip in workers_of(world, Chip, dead).items():
        scheduler = chip._scheduler
        scheduler.blocks.check_integrity()
        counts |= {f"{name} {key}": value for key, value in chip.held().items()}
        counts[f"{name} pins"] = scheduler.blocks.num_pinned
        counts[f"{name} scheduled"] = int(not scheduler.is_idle)
    for name, server in workers_of(world, MemoryServer, dead).items():
        server.pool.check_integrity()
        counts[f"{name} pins"] = server.pool.num_pinned
    for name, router in workers_of(world, Router, dead).items():
        counts |= {f"{name} {key}": value for key, value in router.held().items()}
        counts[f"{name} state"] = int(not router.state.is_idle)
        if healed:
            counts[f"{name} aborts"] = sum(map(len, router.state.aborts.values()))
            counts[f"{name} dropped stores"] = len(router.state.dropped_stores)
            unfinished = [len(store.unfinished) for store in router.state.stores.values()]
            counts[f"{name} unfinished additions"] = sum(unfinished)
    if healed:
        for name, node in world.nodes.items():
            counts[f"{name} calls"] = node.endpoint.outgoing.in_flight()
            for peer, taken in node.endpoint.credits_taken().items():
                counts[f"{name} credits of {peer}"] = taken
    return {name: count for name, count in counts.items() if count}
