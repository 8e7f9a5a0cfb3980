"""What a gateway hears of vector stores, their files, and what is found in them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.api.kinds import Facts
from cluster.api.store_kinds import StoreIs
from cluster.router.machine.store_state import STATUSES, StoreFile, StoreState
from workers.memory.hit import Hit


def store_is(store: StoreState) -> StoreIs:
    """A store."""
    return StoreIs(
        store.store_id,
        store.name,
        store.num_passages,
        sum(store.held_bytes.values()),
        store.created_s,
        store.counts(),
        store.metadata,
    )


def counts(files: Mapping[str, StoreFile], file_ids: Iterable[str]) -> dict[str, int]:
    """Of these that are there, by status."""
    counted = Counter(files[name].status for name in file_ids if name in files)
    return {status: counted[status] for status in STATUSES}


def file_is(file_id: str, file: StoreFile) -> dict[str, Any]:
    """A file of one."""
    return {
        "file_id": file_id,
        "filename": file.name,
        "num_bytes": file.num_bytes,
        "created_s": file.created_s,
        "attributes": file.attributes,
        "status": file.status,
        "error_code": file.error_code,
        "error": file.error,
        "chunking": [file.chunk_tokens, file.chunk_overlap],
    }


def found(hits: Sequence[Hit], files: Mapping[str, StoreFile]) -> Facts:
    """Hits with the names and attributes of their files. One that went meanwhile is no hit."""
    rows = [
        {
            **hit.to_body(),
            "filename": files[hit.file_id].name,
            "attributes": files[hit.file_id].attributes,
        }
        for hit in hits
        if hit.file_id in files
    ]
    return Facts({"hits": rows})
