"""What is looked at after an adversarial scenario, law by law: a line for each way in which one was
broken.
"""

from collections.abc import Iterator

from cluster.chaos.inside import held as held
from cluster.chaos.inside import workers_of as workers_of
from cluster.router.machine.store_state import COMPLETED, StoreState
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from workers.memory.memory_server import MemoryServer

NUM_PASSAGES = 24  # of the one file that trials add


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
