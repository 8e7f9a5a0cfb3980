"""What is said of vector stores, and its bytes beside the envelope, by hand."""

from typing import Any

from cluster.api import store_kinds as stores
from workers.wire.kind import Kind

BY_HAND: list[tuple[Kind[Any], int]] = [
    (stores.StoreCreate("mine", {"k": "vv"}, 7), 4 + 2 + 8),
    (stores.StoreCreate("mine", index={"kind": "ivf_pq", "m": 8}), 4 + 8 + 6 + 8),
    (stores.StoreIs("vs_1", "mine", 2, 3, 4, {"completed": 1}, {"k": "v"}), 4 + 4 + 4 * 8 + 1),
    (stores.StoreChange("vs_1", None, {"k": "v"}), 4 + 1),
    (stores.StoreDelete("vs_1"), 4),
    (stores.StoreAdd.of("vs_1", [("f", "a.txt", "text")], waits=True), 4 + 1 + 5 + 4 + 8 + 1),
    (stores.StoreFiles("vs_1", ("f", "g"), "failed", 20, True, "f", None), 4 + 2 + 6 + 4 + 1 + 1),
    (stores.FileCounts("vs_1", ("f", "g")), 4 + 2),
    (stores.FileChange("vs_1", "f", {"k": 1.5}), 4 + 1 + 8),
    (stores.FileRemove("vs_1", "f"), 4 + 1),
    (stores.FilesCancel("vs_1", ("f",)), 4 + 1),
    (stores.FileRead("vs_1", "f", 7, 9), 4 + 1 + 8 + 4),
    (stores.StoreList(), 0),
    (stores.StoreSearch("vs_1", ("who?",), 3), 4 + 4 + 4),
    (
        stores.StoreSearch("vs_1", ("who?",), 3, {"type": "eq", "key": "k", "value": 1}),
        4 + 4 + 4 + 2 + 1 + 8,
    ),
]
