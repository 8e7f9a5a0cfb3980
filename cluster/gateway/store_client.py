"""What the gateway asks of a cluster about vector stores; see `client`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cluster.api.cursor import Cursor

# Passages are so many tokens long, of which the next one repeats the second number; or lines and
# paragraphs.
BY_LINES = (0, 0)
# Of a file.
STATUSES = ("in_progress", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A vector store, and how much is in it. `created_s` is Unix seconds, 0 where nobody knows;
    `counts` says how many files have which status.
    """

    store_id: str
    name: str
    num_passages: int = 0
    usage_bytes: int = 0
    created_s: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_files(self) -> int:
        """That can be found."""
        return self.counts.get("completed", 0)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of a store. `status` is one of STATUSES; the error is why it failed."""

    file_id: str
    filename: str
    num_bytes: int
    created_s: int
    attributes: Mapping[str, Any]
    status: str
    error_code: str = ""
    error: str = ""
    chunking: Sequence[int] = BY_LINES


@dataclass(frozen=True, slots=True)
class Document:
    """A text to be split into passages and indexed. None where nobody says: no attributes, by lines
    and paragraphs, or those that it has.
    """

    file_id: str
    filename: str
    text: str
    attributes: Mapping[str, Any] | None = None
    chunking: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One passage, best first; a higher score is nearer."""

    text: str
    score: float
    file_id: str
    filename: str
    passage_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class StoreClient(Protocol):
    """Raises NotFound for unknown stores, and files of one."""

    async def create_store(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        created_s: int = 0,
        index: Mapping[str, Any] | None = None,
    ) -> StoreInfo:
        """A new, empty vector store; several may share a name. `index`: see
        `IndexChoice.to_plain`.
        """
        ...

    async def stores(self) -> Sequence[StoreInfo]:
        """All vector stores, oldest first."""
        ...

    async def change_store(
        self, store_id: str, name: str | None, metadata: Mapping[str, Any] | None
    ) -> StoreInfo:
        """What is None stays as it is."""
        ...

    async def delete_store(self, store_id: str) -> None: ...

    async def begin_files(
        self, store_id: str, documents: Sequence[Document], created_s: int
    ) -> StoreInfo:
        """Begin to index documents, each on its own; those that are there, or on their way, get
        the attributes alone. Raises QueueFull, or InvalidRequest where one of these is to be cut
        otherwise than it was, and then none has begun.
        """
        ...

    async def files(
        self, store_id: str, cursor: Cursor, file_ids: Sequence[str] = (), status: str = ""
    ) -> tuple[Sequence[FileInfo], bool]:
        """A piece of the files of a store, or of these that are there, or of those of a status; and
        whether more follow. Raises InvalidRequest for a cursor that is none of them.
        """
        ...

    async def count_files(self, store_id: str, file_ids: Sequence[str]) -> Mapping[str, int]:
        """How many of these have which status."""
        ...

    async def change_file(
        self, store_id: str, file_id: str, attributes: Mapping[str, Any]
    ) -> None: ...

    async def remove_file(self, store_id: str, file_id: str) -> None:
        """No search that begins after this will find it."""
        ...

    async def forget_file(self, file_id: str) -> None:
        """`remove_file`, of every store that has it."""
        ...

    async def cancel_files(self, store_id: str, file_ids: Sequence[str]) -> None:
        """Of those that are still being indexed."""
        ...

    async def read_file(self, store_id: str, file_id: str) -> Sequence[str]:
        """Its passages, in order."""
        ...

    async def search_any(
        self,
        store_id: str,
        queries: Sequence[str],
        top_k: int,
        narrowing: Mapping[str, Any] | None = None,
    ) -> Sequence[SearchHit]:
        """The `top_k` passages that are nearest to any of the queries, each once, best first; of
        files that `narrowing` fits.
        """
        ...
