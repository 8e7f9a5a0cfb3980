"""Vector stores: what they are made of. Vectors and texts are the memory servers' matter."""

from bisect import bisect_left

from cluster.router.machine.events import ImpossibleEvent
from cluster.router.machine.state import StoreState
from cluster.router.machine.store_events import (
    FilesAdded,
    PassagesAnnounced,
    PassagesDropped,
    PassagesStored,
    StoreCreated,
    StoreDeleted,
    StoreDropped,
    StoreNamed,
)
from cluster.router.machine.turn import Turn


def named(turn: Turn, event: StoreNamed) -> None:
    is_new = event.store_id not in turn.state.stores
    is_dropped = event.store_id not in turn.state.dropped_stores
    turn.check(is_new and is_dropped, f"the id {event.store_id!r} is taken")
    store = StoreState(event.store_id, event.name, event.embedder)
    turn.state.stores[event.store_id] = store
    turn.state.num_stores_named += 1


def created(turn: Turn, event: StoreCreated) -> None:
    store = turn.state.stores.get(event.store_id)
    is_named = store is not None and not store.is_ready
    turn.check(is_named, f"{event.store_id} is not being made")
    turn.state.stores[event.store_id].is_ready = True


def announced(turn: Turn, event: PassagesAnnounced) -> None:
    store = _ready(turn, event.store_id)
    follows = event.first_id == store.next_passage_id and event.num_passages >= 0
    turn.check(follows, f"passages of {event.store_id} go on with {store.next_passage_id}")
    store.next_passage_id += event.num_passages
    if event.num_passages:
        store.unfinished.append((event.first_id, event.num_passages))


def stored(turn: Turn, event: PassagesStored) -> None:
    _ready(turn, event.store_id).held_bytes[event.server] = event.held_bytes


def passages_dropped(turn: Turn, event: PassagesDropped) -> None:
    store = _ready(turn, event.store_id)
    addition = (event.first_id, event.num_passages)
    turn.check(addition in store.unfinished, f"{addition} of {event.store_id} is not unfinished")
    store.unfinished.remove(addition)


def files_added(turn: Turn, event: FilesAdded) -> None:
    store = _ready(turn, event.store_id)
    end = event.first_id + event.num_passages
    addition = (event.first_id, event.num_passages)
    is_announced = addition in store.unfinished or not event.num_passages
    turn.check(is_announced, f"{addition} of {event.store_id} is not being added")
    store.files.update(event.files)
    if event.num_passages:
        store.unfinished.remove(addition)
        at = bisect_left(store.starts, event.first_id)
        store.starts.insert(at, event.first_id)
        store.ends.insert(at, end)


def deleted(turn: Turn, event: StoreDeleted) -> None:
    turn.check(event.store_id in turn.state.stores, f"there is no store {event.store_id!r}")
    _let_go(turn, event.store_id)


def dropped(turn: Turn, event: StoreDropped) -> None:
    is_deleted = event.store_id in turn.state.dropped_stores
    turn.check(is_deleted, f"{event.store_id} was not deleted")
    turn.state.dropped_stores.remove(event.store_id)


def let_go_half_made(turn: Turn) -> None:
    """Whoever wanted them hears nothing any more."""
    for store in list(turn.state.stores.values()):
        if not store.is_ready:
            _let_go(turn, store.store_id)


def _let_go(turn: Turn, store_id: str) -> None:
    del turn.state.stores[store_id]
    turn.state.dropped_stores.append(store_id)


def _ready(turn: Turn, store_id: str) -> StoreState:
    store = turn.state.stores.get(store_id)
    if store is None or not store.is_ready:
        raise ImpossibleEvent(f"there is no store {store_id!r}")
    return store
