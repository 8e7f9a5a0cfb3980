"""What is looked at after an adversarial scenario, law by law: a line for each way in which one was
broken.
"""

from collections.abc import Iterator
from typing import TypeVar

from cluster.router.machine.store_state import COMPLETED, StoreState
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from workers.chip.chip import Chip
from workers.memory.memory_server import MemoryServer

T = TypeVar("T")

NUM_PASSAGES = 24  # of the one file that trials add


def workers_of(world: VirtualWorld, kind: type[T]) -> dict[str, T]:
    """Workers by name, found by the handlers that they registered."""
    found: dict[str, T] = {}
    for node in world.nodes.values():
        for (name, _), handler in node.endpoint.incoming.handlers().items():
            worker = getattr(handler, "__self__", None)
            if isinstance(worker, kind):
                found[name] = worker
    return found


def held(world: VirtualWorld, *, healed: bool) -> dict[str, int]:
    """What is held for requests (law 4), as non-zero counts. Over a link that stays cut, calls that
    must arrive are said again and again: that is left out where nothing heals.
    """
    counts: dict[str, int] = {"readers": len(world.client._readers)}
    for name, chip in workers_of(world, Chip).items():
        scheduler = chip._scheduler
        scheduler.blocks.check_integrity()
        counts |= {f"{name} {key}": value for key, value in chip.held().items()}
        counts[f"{name} pins"] = scheduler.blocks.num_pinned
        counts[f"{name} scheduled"] = int(not scheduler.is_idle)
    for name, server in workers_of(world, MemoryServer).items():
        server.pool.check_integrity()
        counts[f"{name} pins"] = server.pool.num_pinned
    for name, router in workers_of(world, Router).items():
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


def torn_stores(world: VirtualWorld) -> Iterator[str]:
    """Where memory servers hold other passages than the router's files are made of."""
    (router,) = workers_of(world, Router).values()
    servers = workers_of(world, MemoryServer)
    for store in router.state.stores.values():
        wanted = sorted(_passages(store))
        # One whose adding failed is told, and has none.
        num_files = sum(file.status == COMPLETED for file in store.files.values())
        if len(wanted) != NUM_PASSAGES * num_files:
            yield f"clean: {store.store_id} has {len(wanted)} passages of {num_files} files"
        here = sorted(
            passage
            for server in servers.values()
            if store.store_id in server._shards
            for passage in server._shards[store.store_id].passage_ids.tolist()
        )
        if here != wanted:
            yield f"clean: servers hold {len(here)} passages of {store.store_id}, not {len(wanted)}"
    for name, server in servers.items():
        gone = [store_id for store_id in server._shards if store_id not in router.state.stores]
        if gone:
            yield f"clean: {name} holds {gone}, which no router knows"


def _passages(store: StoreState) -> Iterator[int]:
    for start, end in zip(store.starts, store.ends, strict=True):
        yield from range(start, end)
