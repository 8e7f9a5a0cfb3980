"""Vector stores in the state: what may happen to one, and in which order."""

from copy import deepcopy
from typing import Any

import pytest

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
    StoreCreated,
    StoreDeleted,
    StoreDropped,
    StoreEvent,
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
)
from tests.cluster.router.machine.requests import APART, machine


def begun(at_ns: int, *file_ids: str) -> FilesBegun:
    return FilesBegun(at_ns, "s", {file_id: StoreFile(f"{file_id}.txt") for file_id in file_ids})


def with_stores() -> Any:
    """`s` holds passages 0 to 2 of `f0`, awaits 3 and 4 and adds `f1`; `new` is not made yet, `old`
    is being deleted.
    """
    one = machine(APART)
    for store in ("s", "new", "old"):
        one.apply(StoreNamed(0, store, "notes", "hashing"))
    for event in (
        StoreCreated(0, "s"), StoreCreated(0, "old"), StoreDeleted(0, "old"),
        PassagesAnnounced(0, "s", 0, 3), PassagesStored(0, "s", "memory-0", 300),
        begun(0, "f0", "f1"), FilesAdded(0, "s", 0, 3, {"f0": [(0, 3)]}),
        PassagesAnnounced(0, "s", 3, 2),
    ):  # fmt: skip
        one.apply(event)
    return one


@pytest.mark.parametrize(
    "event",
    [
        StoreNamed(1, "s", "again", "hashing"),
        StoreNamed(1, "old", "again", "hashing"),
        StoreCreated(1, "s"),
        StoreCreated(1, "nobody"),
        PassagesAnnounced(1, "s", 4, 2),
        PassagesAnnounced(1, "s", 6, 2),
        PassagesAnnounced(1, "s", 5, -1),
        PassagesAnnounced(1, "new", 0, 1),
        PassagesStored(1, "new", "memory-0", 1),
        PassagesDropped(1, "s", 0, 3),
        PassagesDropped(1, "s", 3, 1),
        begun(1, "f0"),
        begun(1, "f1"),
        FilesAdded(1, "s", 0, 3, {"f1": [(0, 3)]}),
        FilesAdded(1, "s", 3, 1, {"f1": [(3, 1)]}),
        FilesAdded(1, "s", 3, 2, {"f0": [(3, 2)]}),
        FilesAdded(1, "s", 3, 2, {"nobody": [(3, 2)]}),
        FileEnded(1, "s", "f0", FAILED, "e", "x"),
        FileEnded(1, "s", "f1", COMPLETED, "", ""),
        FileRemoved(1, "s", "nobody"),
        FileChanged(1, "s", "nobody", {}),
        StoreLacks(1, "new", "memory-0"),
        StoreFilled(1, "s", "memory-0"),
        StoreDeleted(1, "old"),
        StoreDropped(1, "s"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_cannot_have_happened_to_a_store_changes_nothing(event: StoreEvent) -> None:
    one = with_stores()
    before = deepcopy(one.state)
    with pytest.raises(ImpossibleEvent):
        one.apply(event)
    assert one.state == before


def test_passages_go_on_where_the_last_ended_and_files_know_theirs() -> None:
    """Files are added in another order than their passages were announced; `empty` has none."""
    one = with_stores()
    store = one.state.stores["s"]
    one.apply(PassagesAnnounced(1, "s", 5, 4))
    one.apply(PassagesAnnounced(1, "s", 9, 0))
    assert (store.next_passage_id, store.unfinished) == (9, [(3, 2), (5, 4)])
    one.apply(begun(1, "f2", "empty"))
    one.apply(FilesAdded(2, "s", 5, 4, {"f2": [(5, 4)]}))
    one.apply(FilesAdded(2, "s", 3, 2, {"f1": [(3, 2)]}))
    one.apply(FilesAdded(2, "s", 9, 0, {"empty": []}))
    assert (store.starts, store.ends, store.unfinished) == ([0, 3, 5], [3, 5, 9], [])
    assert [(name, file.spans) for name, file in store.files.items()] == [
        ("f0", [(0, 3)]), ("f1", [(3, 2)]), ("f2", [(5, 4)]), ("empty", []),
    ]  # fmt: skip
    assert {file.status for file in store.files.values()} == {COMPLETED}
    assert store.num_passages == 9 and store.held_bytes == {"memory-0": 300}


def test_a_file_that_is_removed_can_be_found_no_more_and_its_passages_have_yet_to_go() -> None:
    one = with_stores()
    store = one.state.stores["s"]
    one.apply(FilesAdded(1, "s", 3, 2, {"f1": [(3, 2)]}))
    one.apply(FileRemoved(2, "s", "f0"))
    assert [store.has(passage) for passage in range(6)] == [False] * 3 + [True] * 2 + [False]
    assert (list(store.files), store.unfinished) == (["f1"], [(0, 3)])
    one.apply(PassagesDropped(3, "s", 0, 3))
    assert store.unfinished == []


def test_a_file_that_came_to_nothing_may_be_added_again_and_is_then_the_youngest() -> None:
    one = with_stores()
    store = one.state.stores["s"]
    one.apply(begun(1, "f2"))
    one.apply(FileEnded(1, "s", "f1", FAILED, "server_error", "x"))
    assert (store.files["f1"].status, store.files["f1"].error) == (FAILED, "x")
    one.apply(FileEnded(1, "s", "f2", CANCELLED, "", ""))
    one.apply(begun(2, "f1"))
    assert (store.files["f1"].status, store.files["f1"].error) == (IN_PROGRESS, "")
    assert list(store.files) == ["f0", "f2", "f1"]


def test_passages_that_are_dropped_leave_their_numbers_taken() -> None:
    one = with_stores()
    store = one.state.stores["s"]
    one.apply(PassagesDropped(1, "s", 3, 2))
    assert (store.next_passage_id, store.unfinished) == (5, [])
    one.apply(StoreDropped(1, "old"))
    assert one.state.dropped_stores == []
    assert (list(one.state.stores), one.state.num_stores_named) == (["s", "new"], 3)
