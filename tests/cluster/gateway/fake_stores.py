"""Scripted vector stores: files are completed at once, or when the test says so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.api.cursor import Cursor, Places
from cluster.gateway.store_client import (
    BY_LINES,
    STATUSES,
    Document,
    FileInfo,
    SearchHit,
    StoreInfo,
)
from cluster.retrieval.narrowing import fits
from workers.errors import NotFound


@dataclass(kw_only=True)
class FakeStores:
    """add_error   raised by whoever adds
    status      of what is added from now on; `finish` completes it
    """

    documents: dict[str, dict[str, Document]] = field(default_factory=dict)
    infos: dict[str, StoreInfo] = field(default_factory=dict)
    held: dict[str, dict[str, FileInfo]] = field(default_factory=dict)
    places: dict[str, Places] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    num_stores: int = 0
    num_added: int = 0
    add_error: Exception | None = None
    forget_error: Exception | None = None
    status: str = "completed"

    async def create_store(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        created_s: int = 0,
        index: Mapping[str, Any] | None = None,
    ) -> StoreInfo:
        self.num_stores += 1
        store_id = f"vs_{self.num_stores}"
        self.infos[store_id] = StoreInfo(
            store_id, name, created_s=created_s, metadata=metadata or {}
        )
        self.documents[store_id], self.held[store_id] = {}, {}
        self.indexes[store_id] = dict(index or {})
        return self._info(store_id)

    async def stores(self) -> list[StoreInfo]:
        return [self._info(store_id) for store_id in self.infos]

    async def change_store(
        self, store_id: str, name: str | None, metadata: Mapping[str, Any] | None
    ) -> StoreInfo:
        before = self._info(store_id)
        name = before.name if name is None else name
        metadata = before.metadata if metadata is None else metadata
        self.infos[store_id] = replace(before, name=name, metadata=metadata)
        return self._info(store_id)

    async def delete_store(self, store_id: str) -> None:
        self._check(store_id)
        del self.infos[store_id], self.documents[store_id], self.held[store_id]

    async def begin_files(
        self, store_id: str, documents: Sequence[Document], created_s: int
    ) -> StoreInfo:
        self._check(store_id)
        if self.add_error is not None:
            raise self.add_error
        for one in documents:
            known = self.held[store_id].get(one.file_id)
            if known is not None and one.attributes is not None:
                await self.change_file(store_id, one.file_id, one.attributes)
            if known is None or known.status in ("failed", "cancelled"):
                self.num_added += 1
                size = len(one.text.encode())
                self.held[store_id][one.file_id] = FileInfo(
                    one.file_id,
                    one.filename,
                    size,
                    created_s,
                    one.attributes or {},
                    self.status,
                    chunking=one.chunking or BY_LINES,
                )
                self.documents[store_id][one.file_id] = one
        return self._info(store_id)

    def finish(
        self, store_id: str, file_id: str, status: str = "completed", code: str = "", why: str = ""
    ) -> None:
        held = self.held[store_id]
        held[file_id] = replace(held[file_id], status=status, error_code=code, error=why)

    async def files(
        self, store_id: str, cursor: Cursor, file_ids: Sequence[str] = (), status: str = ""
    ) -> tuple[list[FileInfo], bool]:
        self._check(store_id)
        held = self.held[store_id]
        there = [name for name in file_ids or held if name in held]
        numbers: Mapping[str, int] = {name: i for i, name in enumerate(file_ids)}
        if not file_ids:
            numbers = self.places.setdefault(store_id, Places()).see(held)
        there = [name for name in there if status in ("", held[name].status)]
        ids, has_more = cursor.window(there, numbers)
        return [held[name] for name in ids], has_more

    async def count_files(self, store_id: str, file_ids: Sequence[str]) -> dict[str, int]:
        self._check(store_id)
        held = self.held[store_id]
        counted = Counter(held[name].status for name in file_ids if name in held)
        return {status: counted[status] for status in STATUSES}

    async def change_file(self, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> None:
        self._check_file(store_id, file_id)
        held = self.held[store_id]
        held[file_id] = replace(held[file_id], attributes=attributes)

    async def remove_file(self, store_id: str, file_id: str) -> None:
        self._check_file(store_id, file_id)
        del self.held[store_id][file_id], self.documents[store_id][file_id]

    async def forget_file(self, file_id: str) -> None:
        if self.forget_error is not None:
            raise self.forget_error
        for store_id, files in self.held.items():
            if file_id in files:
                await self.remove_file(store_id, file_id)

    async def cancel_files(self, store_id: str, file_ids: Sequence[str]) -> None:
        held = self.held[store_id]
        for one in [held[name] for name in file_ids if name in held]:
            if one.status == "in_progress":
                self.finish(store_id, one.file_id, "cancelled")

    async def read_file(self, store_id: str, file_id: str) -> list[str]:
        self._check_file(store_id, file_id)
        return [self.documents[store_id][file_id].text]

    async def search_any(
        self,
        store_id: str,
        queries: Sequence[str],
        top_k: int,
        narrowing: Mapping[str, Any] | None = None,
    ) -> list[SearchHit]:
        found: dict[str, SearchHit] = {}
        for query in queries:
            for hit in self._hits(store_id, query, narrowing):
                found.setdefault(hit.passage_id, hit)
        return list(found.values())[:top_k]

    def _hits(
        self, store_id: str, query: str, narrowing: Mapping[str, Any] | None
    ) -> list[SearchHit]:
        self._check(store_id)
        held, hits = self.held[store_id], []
        for one in self.documents[store_id].values():
            attributes = held[one.file_id].attributes
            if query in one.text and (narrowing is None or fits(narrowing, attributes)):
                passage_id = f"{one.file_id}:0"
                hits.append(
                    SearchHit(one.text, 0.5, one.file_id, one.filename, passage_id, attributes)
                )
        return hits

    def _check(self, store_id: str) -> None:
        if store_id not in self.infos:
            raise NotFound(f"no vector store {store_id!r:.80}")

    def _check_file(self, store_id: str, file_id: str) -> None:
        self._check(store_id)
        if file_id not in self.held[store_id]:
            raise NotFound(f"no file {file_id!r:.80} in {store_id!r:.80}")

    def _info(self, store_id: str) -> StoreInfo:
        self._check(store_id)
        files = list(self.held[store_id].values())
        counts: dict[str, int] = {}
        for one in files:
            counts[one.status] = counts.get(one.status, 0) + 1
        num_bytes = sum(one.num_bytes for one in files)
        return replace(
            self.infos[store_id], num_passages=len(files), usage_bytes=num_bytes, counts=counts
        )
