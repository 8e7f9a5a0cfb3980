"""Vector stores as a gateway reaches them: over messages, in every world."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from cluster.api.cursor import Cursor
from cluster.api.store_kinds import (
    FileChange,
    FileCounts,
    FileRead,
    FileRemove,
    FilesCancel,
    StoreAdd,
    StoreChange,
    StoreCreate,
    StoreDelete,
    StoreFiles,
    StoreIs,
    StoreList,
    StoreSearch,
)
from cluster.gateway.store_client import Document, FileInfo, SearchHit, StoreInfo
from workers.wire.kind import Kind

A = TypeVar("A")

# One message carries so much text, or so many files, at most: bounds the frame, and how long an
# event loop reads one.
BYTES_PER_MESSAGE, FILES_PER_MESSAGE, PASSAGES_PER_MESSAGE = 8 << 20, 256, 1024


class MessageStores:
    """`StoreClient` for a worker that can call the router."""

    @abstractmethod
    async def _call(
        self, content: Kind[A], request_id: str = "", *, is_long: bool = False
    ) -> A: ...

    async def create_store(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        created_s: int = 0,
        index: Mapping[str, Any] | None = None,
    ) -> StoreInfo:
        content = StoreCreate(name, metadata or {}, created_s, index or {})
        return _store(await self._call(content))

    async def stores(self) -> Sequence[StoreInfo]:
        facts = (await self._call(StoreList())).facts
        return [StoreInfo(**store) for store in facts["stores"]]

    async def change_store(
        self, store_id: str, name: str | None, metadata: Mapping[str, Any] | None
    ) -> StoreInfo:
        return _store(await self._call(StoreChange(store_id, name, metadata)))

    async def delete_store(self, store_id: str) -> None:
        await self._call(StoreDelete(store_id))

    async def begin_files(
        self, store_id: str, documents: Sequence[Document], created_s: int
    ) -> StoreInfo:
        store: StoreInfo | None = None
        begun: list[str] = []
        try:
            for part in _parts(documents):
                content = StoreAdd.of(
                    store_id,
                    _rows(part),
                    _attributes(part),
                    _chunking(part),
                    created_s,
                    waits=False,
                )
                store = _store(await self._call(content))
                begun += [document.file_id for document in part]
        except BaseException:
            if begun:
                await self.cancel_files(store_id, begun)
            raise
        assert store is not None, "no documents"
        return store

    async def add_documents(self, store_id: str, documents: Sequence[Document]) -> StoreInfo:
        """Index documents, until all can be found, or none."""
        rows, attributes = _rows(documents), _attributes(documents)
        content = StoreAdd.of(store_id, rows, attributes, _chunking(documents), waits=True)
        return _store(await self._call(content, is_long=True))

    async def files(
        self, store_id: str, cursor: Cursor, file_ids: Sequence[str] = (), status: str = ""
    ) -> tuple[Sequence[FileInfo], bool]:
        asked = StoreFiles(
            store_id,
            tuple(file_ids),
            status,
            cursor.limit,
            cursor.newest_first,
            cursor.after,
            cursor.before,
        )
        facts = (await self._call(asked)).facts
        files = [FileInfo(**{**f, "chunking": tuple(f["chunking"])}) for f in facts["files"]]
        return files, facts["has_more"]

    async def count_files(self, store_id: str, file_ids: Sequence[str]) -> Mapping[str, int]:
        facts = (await self._call(FileCounts(store_id, tuple(file_ids)))).facts
        counts: Mapping[str, int] = facts["counts"]
        return counts

    async def change_file(self, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> None:
        await self._call(FileChange(store_id, file_id, attributes))

    async def remove_file(self, store_id: str, file_id: str) -> None:
        await self._call(FileRemove(store_id, file_id), file_id)

    async def forget_file(self, file_id: str) -> None:
        await self._call(FileRemove("", file_id), file_id)

    async def cancel_files(self, store_id: str, file_ids: Sequence[str]) -> None:
        await self._call(FilesCancel(store_id, tuple(file_ids)))

    async def read_file(self, store_id: str, file_id: str) -> Sequence[str]:
        texts: list[str] = []
        while True:
            content = FileRead(store_id, file_id, len(texts), PASSAGES_PER_MESSAGE)
            more = (await self._call(content)).facts["texts"]
            texts += more
            if len(more) < PASSAGES_PER_MESSAGE:
                return texts

    async def search(
        self, store_id: str, query: str, top_k: int, narrowing: Mapping[str, Any] | None = None
    ) -> Sequence[SearchHit]:
        """`search_any` of one."""
        return await self.search_any(store_id, [query], top_k, narrowing)

    async def search_any(
        self,
        store_id: str,
        queries: Sequence[str],
        top_k: int,
        narrowing: Mapping[str, Any] | None = None,
    ) -> Sequence[SearchHit]:
        asked = StoreSearch(store_id, tuple(queries), top_k, narrowing)
        facts = (await self._call(asked)).facts
        return [
            SearchHit(
                hit["text"],
                hit["score"],
                hit["file_id"],
                hit["filename"],
                str(hit["passage_id"]),
                hit["attributes"],
            )
            for hit in facts["hits"]
        ]


def _parts(documents: Sequence[Document]) -> list[list[Document]]:
    """In order, each as much as one message carries."""
    parts: list[list[Document]] = []
    num_bytes = 0
    for document in documents:
        size = len(document.text)  # characters: of the order of its bytes
        if not parts or num_bytes + size > BYTES_PER_MESSAGE or len(parts[-1]) >= FILES_PER_MESSAGE:
            parts.append([])
            num_bytes = 0
        parts[-1].append(document)
        num_bytes += size
    return parts


def _rows(documents: Sequence[Document]) -> list[tuple[str, str, str]]:
    return [(d.file_id, d.filename, d.text) for d in documents]


def _attributes(documents: Sequence[Document]) -> dict[str, Any]:
    return {d.file_id: dict(d.attributes) for d in documents if d.attributes is not None}


def _chunking(documents: Sequence[Document]) -> dict[str, Sequence[int]]:
    return {d.file_id: d.chunking for d in documents if d.chunking is not None}


def _store(told: StoreIs) -> StoreInfo:
    return StoreInfo(
        told.store_id,
        told.name,
        told.num_passages,
        told.usage_bytes,
        told.created_s,
        told.counts,
        told.metadata,
    )
