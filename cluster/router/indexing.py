"""Files on their way into vector stores: taken in at once, added a few at a time.

begun ── its turn ─▶ split ─▶ embedded and sent, slice by slice ─▶ completed
  │                              │
  └── removed, cancelled ────────┴── failed ─▶ taken back from every memory server
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.retrieval.passages import Passage
from cluster.router.additions import Addition, Additions, Embed
from cluster.router.admission import check_whole, find_store
from cluster.router.ledger import Ledger
from cluster.router.machine.store_events import FileChanged, FileEnded, FilesBegun
from cluster.router.machine.store_state import (
    CANCELLED,
    FAILED,
    IN_PROGRESS,
    StoreFile,
    StoreState,
)
from cluster.router.splitting import Whole, split
from cluster.router.wire import NEVER_NS
from cluster.text.tokenizer import Tokenizer
from configs.outside import shown
from workers.errors import Cancelled, InvalidRequest, NotFound, PerfuseError, QueueFull
from workers.host.credits import Credits
from workers.host.mailbox import Mailbox
from workers.node import Node

# Additions whose passages are in memory at once: a large one holds up no small one.
AT_ONCE = 4
# Of files that wait for their turn, or are being added.
WAITING_BYTES_MAX, WAITING_FILES_MAX = 64 << 20, 16_384
# OpenAI's word for a fault of the file's own, and for any other.
INVALID_FILE, SERVER_ERROR = "invalid_file", "server_error"


@dataclass(frozen=True, slots=True)
class Arriving:
    """A file to be added; `text` is UTF-8. Whether somebody said which attributes it has, and how
    it is cut.
    """

    file_id: str
    file: StoreFile
    text: NDArray[np.uint8]
    gives_attributes: bool = False
    gives_chunking: bool = False


class Indexing:
    """Of all stores of a cluster. Raises NotFound for an unknown one."""

    def __init__(
        self,
        node: Node,
        ledger: Ledger,
        additions: Additions,
        tokenizer: Tokenizer,
        embed: Embed,
    ) -> None:
        self._node, self._ledger, self._additions = node, ledger, additions
        self._tokenizer, self._embed = tokenizer, embed
        self._turns = Credits(node.clock, AT_ONCE)
        self._num_files = self._num_bytes = 0
        # (store, file) that is being added -> who waits for its end
        self._waiters: dict[tuple[str, str], list[Mailbox[PerfuseError | None]]] = {}

    async def begin(self, store_id: str, arriving: Sequence[Arriving]) -> StoreState:
        """Each on its own, but for those that are there or on their way. Whoever asked is
        answered before they are added. Raises QueueFull, and then none has begun.
        """
        store = find_store(self._ledger.state, store_id)
        check_whole(store)
        new = self._taken_in(store, arriving)
        for one in new:
            self._start(store, [one], NEVER_NS)
        await self._ledger.committed()
        return store

    async def add(
        self, store_id: str, arriving: Sequence[Arriving], deadline_ns: int
    ) -> StoreState:
        """All together, until they can be found. Raises what kept them from it."""
        store = find_store(self._ledger.state, store_id)
        check_whole(store)
        new = self._taken_in(store, arriving)
        waiting: list[Mailbox[PerfuseError | None]] = []
        if new:
            self._start(store, new, deadline_ns)
        for one in arriving:
            if store.files[one.file_id].status == IN_PROGRESS:
                waiting.append(self._node.mailbox())
                self._waiters[store_id, one.file_id].append(waiting[-1])
        for mailbox in waiting:
            if (error := await mailbox.get()) is not None:
                raise error
        await self._ledger.committed()
        return store

    def _taken_in(self, store: StoreState, arriving: Sequence[Arriving]) -> list[Arriving]:
        """Those that are to be added. Others have the attributes that were given from now on."""
        new = self._new(store, arriving)
        begun = {one.file_id for one in new}
        there = [one for one in arriving if one.file_id not in begun]
        for one in there:
            if one.gives_chunking:
                _check_cut(one.file_id, store.files[one.file_id], one.file)
        self._begin(store, new)
        for one in there:
            if one.gives_attributes:
                now_ns, given = self._node.clock.now(), one.file.attributes
                self._ledger.happened(FileChanged(now_ns, store.store_id, one.file_id, given))
        return new

    def _new(self, store: StoreState, arriving: Sequence[Arriving]) -> list[Arriving]:
        names = [one.file_id for one in arriving]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidRequest(f"file {twice!r} comes twice", param="file_id")
        return [
            one
            for one in arriving
            if one.file_id not in store.files
            or store.files[one.file_id].status in (FAILED, CANCELLED)
        ]

    def _begin(self, store: StoreState, new: Sequence[Arriving]) -> None:
        num_bytes = sum(one.text.nbytes for one in new)
        if (
            self._num_files + len(new) > WAITING_FILES_MAX
            or self._num_bytes + num_bytes > WAITING_BYTES_MAX
        ):
            text = (
                f"{self._num_files} files of {self._num_bytes} bytes are being added, and at most "
                f"{WAITING_FILES_MAX} of {WAITING_BYTES_MAX} bytes may be: try again later"
            )
            raise QueueFull(text, retry_after_s=1)
        if new:
            now_ns, files = self._node.clock.now(), {one.file_id: one.file for one in new}
            self._ledger.happened(FilesBegun(now_ns, store.store_id, files))
        self._num_files += len(new)
        self._num_bytes += num_bytes
        for one in new:
            self._waiters[store.store_id, one.file_id] = []

    def _start(self, store: StoreState, new: Sequence[Arriving], deadline_ns: int) -> None:
        self._node.spawn(self._add(store, new, deadline_ns), f"add to {store.store_id}")

    async def _add(self, store: StoreState, new: Sequence[Arriving], deadline_ns: int) -> None:
        files = {one.file_id: store.files[one.file_id] for one in new}
        error: Exception | None = None
        await self._turns.wait()
        try:
            await self._index(store, new, files, deadline_ns)
        except Exception as failed:
            error = failed
            self._failed(store, files, failed)
        finally:
            self._turns.give()
            self._num_files -= len(new)
            self._num_bytes -= sum(one.text.nbytes for one in new)
        told = (
            error if error is None or isinstance(error, PerfuseError) else PerfuseError(str(error))
        )
        for file_id in files:
            for mailbox in self._waiters.pop((store.store_id, file_id), ()):
                mailbox.put(told)
        if error is not None and told is not error:
            raise error

    async def _index(
        self,
        store: StoreState,
        new: Sequence[Arriving],
        files: Mapping[str, StoreFile],
        deadline_ns: int,
    ) -> None:
        def check() -> None:
            self._additions.check(store, deadline_ns)
            for file_id, file in files.items():
                if store.files.get(file_id) is not file:
                    raise NotFound(f"file {file_id!r} was removed meanwhile", param="file_id")
                if file.status == CANCELLED:
                    raise Cancelled(f"adding file {file_id!r} was cancelled")

        check()
        documents = [
            Whole(one.file_id, one.text, one.file.chunk_tokens, one.file.chunk_overlap)
            for one in new
        ]
        passages = await split(self._node, self._tokenizer, documents)
        check()

        async def vectors(_start: int, batch: Sequence[Passage]) -> NDArray[np.float32]:
            return await self._embed(store, [passage.text for passage in batch])

        addition = Addition(tuple(files), passages, vectors, check)
        await self._additions.add(store, addition, deadline_ns)

    def _failed(self, store: StoreState, files: Mapping[str, StoreFile], error: Exception) -> None:
        """What was removed meanwhile, or cancelled, has ended already."""
        if self._ledger.state.stores.get(store.store_id) is not store:
            return
        code = INVALID_FILE if isinstance(error, InvalidRequest) else SERVER_ERROR
        text = (
            error.message if isinstance(error, PerfuseError) else f"internal error: {error!r:.200}"
        )
        for file_id, file in files.items():
            if store.files.get(file_id) is file and file.status == IN_PROGRESS:
                self._end(store, file_id, FAILED, code, text)

    def _end(
        self, store: StoreState, file_id: str, status: str, code: str = "", text: str = ""
    ) -> None:
        now_ns = self._node.clock.now()
        self._ledger.happened(FileEnded(now_ns, store.store_id, file_id, status, code, text))

    async def cancel(self, store_id: str, file_ids: Sequence[str]) -> None:
        store = find_store(self._ledger.state, store_id)
        for file_id in file_ids:
            if file_id in store.files and store.files[file_id].status == IN_PROGRESS:
                self._end(store, file_id, CANCELLED)
        await self._ledger.committed()


def _check_cut(file_id: str, there: StoreFile, given: StoreFile) -> None:
    """Raises InvalidRequest where a file that is there is to be cut otherwise."""
    if (there.chunk_tokens, there.chunk_overlap) == (given.chunk_tokens, given.chunk_overlap):
        return
    raise InvalidRequest(
        f"chunking_strategy is {_cut(given)}, but file {shown(file_id)} is in the store already, "
        f"cut {_cut(there)}: leave it out, or take the file out of the store first",
        param="chunking_strategy",
    )


def _cut(file: StoreFile) -> str:
    if not file.chunk_tokens:
        return "'auto'"
    return f"'static' ({file.chunk_tokens} tokens, {file.chunk_overlap} of them overlapping)"
