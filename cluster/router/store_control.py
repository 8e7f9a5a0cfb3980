"""What a router answers about vector stores and the files in them."""

from collections.abc import Mapping
from dataclasses import replace

from cluster.api.cursor import Cursor, Places
from cluster.api.kinds import Facts
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
from cluster.router import telling as said
from cluster.router.indexing import Arriving
from cluster.router.machine.store_state import StoreFile
from cluster.router.stores import Stores
from cluster.router.waiting import Waiting
from workers.errors import InvalidRequest
from workers.memory.index.choice import IndexChoice
from workers.node import Node
from workers.wire.ended import Ended
from workers.wire.message import Message
from workers.wire.port import Port


class StoreControl:
    """Handlers. What waits for memory servers takes no credits, and is bounded here."""

    def __init__(self, node: Node, port: Port, stores: Stores) -> None:
        self._node, self._stores = node, stores
        self._for_servers = Waiting("memory servers")
        # Files that were removed: an addition from before must not bring them back.
        self._ended = Ended()
        self._places: dict[str, Places] = {}
        port.on(StoreCreate, self._create)
        port.on(StoreList, self._list)
        port.on(StoreChange, self._change)
        port.on(StoreDelete, self._delete)
        port.on(StoreAdd, self._add)
        port.on(StoreFiles, self._files)
        port.on(FileCounts, self._count_files)
        port.on(FileChange, self._change_file)
        port.on(FileRemove, self._remove_file)
        port.on(FilesCancel, self._cancel_files)
        port.on(FileRead, self._read_file)
        port.on(StoreSearch, self._search)

    async def _create(self, message: Message[StoreCreate]) -> StoreIs:
        content = message.content
        try:
            index = IndexChoice.from_plain(content.index)
        except ValueError as error:
            raise InvalidRequest(str(error), param="index") from error
        with self._for_servers.one_more():
            store = await self._stores.create(
                content.name,
                metadata=content.metadata,
                created_s=content.created_s,
                deadline_ns=message.deadline_ns,
                index=index,
            )
        return said.store_is(store)

    def _list(self, message: Message[StoreList]) -> Facts:
        return Facts({"stores": [said.store_is(s).pack().body for s in self._stores.all()]})

    async def _change(self, message: Message[StoreChange]) -> StoreIs:
        content = message.content
        store = await self._stores.change(content.store_id, content.name, content.metadata)
        return said.store_is(store)

    async def _delete(self, message: Message[StoreDelete]) -> None:
        with self._for_servers.one_more():
            await self._stores.delete(message.content.store_id)
        self._places.pop(message.content.store_id, None)

    async def _add(self, message: Message[StoreAdd]) -> StoreIs:
        content, indexing = message.content, self._stores.indexing
        for file_id, _ in content.documents:
            self._ended.check(replace(message, request_id=file_id))
        arriving = [
            Arriving(
                file_id,
                StoreFile(
                    name,
                    content.texts[str(index)].nbytes,
                    content.created_s,
                    dict(content.attributes.get(file_id, {})),
                    chunk_tokens=content.chunking.get(file_id, (0, 0))[0],
                    chunk_overlap=content.chunking.get(file_id, (0, 0))[1],
                ),
                content.texts[str(index)],
                gives_attributes=file_id in content.attributes,
                gives_chunking=file_id in content.chunking,
            )
            for index, (file_id, name) in enumerate(content.documents)
        ]
        if content.waits:
            with self._for_servers.one_more():
                store = await indexing.add(content.store_id, arriving, message.deadline_ns)
        else:
            store = await indexing.begin(content.store_id, arriving)
        return said.store_is(store)

    def _files(self, message: Message[StoreFiles]) -> Facts:
        asked = message.content
        files = self._stores.get(asked.store_id).files
        cursor = Cursor(asked.limit, asked.newest_first, asked.after, asked.before)
        if asked.file_ids:
            numbers: Mapping[str, int] = {name: i for i, name in enumerate(asked.file_ids)}
        else:
            numbers = self._places.setdefault(asked.store_id, Places()).see(files)
        there = [
            name
            for name in asked.file_ids or files
            if name in files and asked.status in ("", files[name].status)
        ]
        ids, has_more = cursor.window(there, numbers)
        rows = [said.file_is(name, files[name]) for name in ids]
        return Facts({"files": rows, "has_more": has_more})

    def _count_files(self, message: Message[FileCounts]) -> Facts:
        files = self._stores.get(message.content.store_id).files
        return Facts({"counts": said.counts(files, message.content.file_ids)})

    async def _change_file(self, message: Message[FileChange]) -> None:
        content = message.content
        await self._stores.files.change(content.store_id, content.file_id, content.attributes)

    async def _remove_file(self, message: Message[FileRemove]) -> None:
        content = message.content
        if content.store_id:
            await self._stores.files.remove(content.store_id, content.file_id)
        else:
            self._ended.note(message)
            await self._stores.files.remove_everywhere(content.file_id)

    async def _cancel_files(self, message: Message[FilesCancel]) -> None:
        await self._stores.indexing.cancel(message.content.store_id, message.content.file_ids)

    async def _read_file(self, message: Message[FileRead]) -> Facts:
        content = message.content
        with self._for_servers.one_more():
            texts = await self._stores.files.read(
                content.store_id,
                content.file_id,
                range(content.first, content.first + content.most),
                message.deadline_ns,
            )
        return Facts({"texts": texts})

    async def _search(self, message: Message[StoreSearch]) -> Facts:
        asked = message.content
        with self._for_servers.one_more():
            hits = await self._stores.search(
                asked.store_id,
                asked.queries,
                asked.top_k,
                message.deadline_ns,
                narrowing=asked.narrowing,
            )
        return said.found(hits, self._stores.get(asked.store_id).files)
