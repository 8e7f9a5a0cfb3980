"""What is kept of a store beside its files is what they say."""

from cluster.router.machine.store_state import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    StoreFile,
    StoreState,
)


def kept(store: StoreState) -> tuple[int, list[int]]:
    return store.num_passages, [
        store.counts()[status] for status in (IN_PROGRESS, COMPLETED, FAILED, CANCELLED)
    ]


def test_counts_follow_files_that_come_change_and_go() -> None:
    store = StoreState("s", "s", "hashing")
    assert kept(store) == (0, [0, 0, 0, 0])
    for name in "abc":
        store.put(name, StoreFile(name))
    assert kept(store) == (0, [3, 0, 0, 0])
    store.become(store.files["a"], COMPLETED)
    store.show((0, 5))
    store.become(store.files["b"], FAILED)
    assert kept(store) == (5, [1, 1, 1, 0])
    store.put("b", StoreFile("b"))  # once more
    store.show((10, 2))
    assert kept(store) == (7, [2, 1, 0, 0]) and list(store.files) == ["a", "c", "b"]
    assert store.pop("a").status == COMPLETED
    store.hide((0, 5))
    assert kept(store) == (2, [2, 0, 0, 0])


def test_counts_of_a_store_that_a_journal_gave_back() -> None:
    files = {"a": StoreFile("a", status=COMPLETED), "b": StoreFile("b", status=CANCELLED)}
    store = StoreState("s", "s", "hashing", files=files, starts=[0, 7], ends=[3, 8])
    assert kept(store) == (4, [0, 1, 0, 1])
