"""Vector stores: what they are made of. Vectors and texts are the memory servers' matter."""

from dataclasses import replace

from cluster.router.machine.events import ImpossibleEvent
from cluster.router.machine.store_events import (
    FileChanged,
    FileEnded,
    FileRemoved,
    FilesAdded,
    FilesBegun,
    PassagesAnnounced,
    PassagesDropped,
    PassagesStored,
    StoreChanged,
    StoreCreated,
    StoreDeleted,
    StoreDropped,
    StoreFilled,
    StoreLacks,
    StoreNamed,
)
from cluster.router.machine.store_state import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    StoreFile,
    StoreState,
)
from cluster.router.machine.turn import Turn


def named(turn: Turn, event: StoreNamed) -> None:
    is_new = event.store_id not in turn.state.stores
    is_dropped = event.store_id not in turn.state.dropped_stores
    turn.check(is_new and is_dropped, f"the id {event.store_id!r} is taken")
    store = StoreState(event.store_id, event.name, event.embedder)
    store.metadata, store.created_s = dict(event.metadata), event.created_s
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


def changed(turn: Turn, event: StoreChanged) -> None:
    store = _ready(turn, event.store_id)
    store.name, store.metadata = event.name, dict(event.metadata)


def lacks(turn: Turn, event: StoreLacks) -> None:
    store = _ready(turn, event.store_id)
    if event.server not in store.lacking:  # half of it may have been brought already
        store.lacking.append(event.server)


def filled(turn: Turn, event: StoreFilled) -> None:
    store = _ready(turn, event.store_id)
    turn.check(event.server in store.lacking, f"{event.server} lacks nothing of {event.store_id}")
    store.lacking.remove(event.server)
    store.num_fills += 1


def files_begun(turn: Turn, event: FilesBegun) -> None:
    store = _ready(turn, event.store_id)
    for file_id, file in event.files.items():
        known = store.files.get(file_id)
        is_free = known is None or known.status in (FAILED, CANCELLED)
        turn.check(is_free and file.status == IN_PROGRESS, f"{file_id} is in {event.store_id}")
    for file_id, file in event.files.items():
        store.put(file_id, replace(file, attributes=dict(file.attributes), spans=[]))


def files_added(turn: Turn, event: FilesAdded) -> None:
    store = _ready(turn, event.store_id)
    addition = (event.first_id, event.num_passages)
    is_announced = addition in store.unfinished or not event.num_passages
    turn.check(is_announced, f"{addition} of {event.store_id} is not being added")
    files = [_in_progress(store, file_id) for file_id in event.spans]
    if event.num_passages:
        store.unfinished.remove(addition)
    for file, spans in zip(files, event.spans.values(), strict=True):
        store.become(file, COMPLETED)
        file.spans = [(first, count) for first, count in spans]
        for span in file.spans:
            store.show(span)


def file_ended(turn: Turn, event: FileEnded) -> None:
    store = _ready(turn, event.store_id)
    file = _in_progress(store, event.file_id)
    is_end = event.status in (FAILED, CANCELLED)
    turn.check(is_end, f"{event.status} is not what adding a file comes to")
    store.become(file, event.status)
    file.error_code, file.error = event.error_code, event.error


def file_removed(turn: Turn, event: FileRemoved) -> None:
    store = _ready(turn, event.store_id)
    turn.check(event.file_id in store.files, f"{event.file_id} is not in {event.store_id}")
    for span in store.pop(event.file_id).spans:
        store.hide(span)


def file_changed(turn: Turn, event: FileChanged) -> None:
    store = _ready(turn, event.store_id)
    turn.check(event.file_id in store.files, f"{event.file_id} is not in {event.store_id}")
    store.files[event.file_id].attributes = dict(event.attributes)


def end_half_added(turn: Turn) -> None:
    """Their texts are gone with the incarnation that was adding them."""
    error = "the router was restarted while it was being added: add it again"
    for store in turn.state.stores.values():
        for file in store.files.values():
            if file.status == IN_PROGRESS:
                store.become(file, FAILED)
                file.error_code, file.error = "server_error", error


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


def _in_progress(store: StoreState, file_id: str) -> StoreFile:
    file = store.files.get(file_id)
    if file is None or file.status != IN_PROGRESS:
        raise ImpossibleEvent(f"{file_id} is not being added to {store.store_id}")
    return file


def _ready(turn: Turn, store_id: str) -> StoreState:
    store = turn.state.stores.get(store_id)
    if store is None or not store.is_ready:
        raise ImpossibleEvent(f"there is no store {store_id!r}")
    return store
