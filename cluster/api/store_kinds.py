"""Gateway and router: vector stores, and the files in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from cluster.api.kinds import Facts
from workers.wire.kind import Kind, Reply, kind
from workers.wire.roles import (
    Array,
    Count,
    Flag,
    Moment,
    Text,
    Texts,
    arrays_by_name,
    plain,
    rows_of_texts,
)

Plain = Annotated[Mapping[str, Any], plain()]


@kind("store")
@dataclass(frozen=True, slots=True)
class StoreIs(Kind[Any]):
    """A vector store, and how much is in it. `counts`: status -> files of it."""

    store_id: Text
    name: Text
    num_passages: Moment
    usage_bytes: Moment
    created_s: Moment
    counts: Plain
    metadata: Plain


@kind("store_create")
@dataclass(frozen=True, slots=True)
class StoreCreate(Kind[StoreIs]):
    """A new, empty vector store.

    index   see `IndexChoice.to_plain`; nothing for an exact scan
    """

    name: Text
    metadata: Plain = field(default_factory=dict)
    created_s: Moment = 0
    index: Plain = field(default_factory=dict)
    takes_credit: ClassVar[bool] = False


@kind("store_change")
@dataclass(frozen=True, slots=True)
class StoreChange(Kind[StoreIs]):
    """Call a vector store otherwise; what is None stays as it is."""

    store_id: Text
    name: Annotated[str | None, plain()]
    metadata: Annotated[Mapping[str, Any] | None, plain()]


@kind("store_delete")
@dataclass(frozen=True, slots=True)
class StoreDelete(Kind[Reply]):
    """Forget a vector store."""

    store_id: Text
    takes_credit: ClassVar[bool] = False


@kind("store_list")
@dataclass(frozen=True, slots=True)
class StoreList(Kind[Facts]):
    """Which vector stores are there?"""


@kind("store_add")
@dataclass(frozen=True, slots=True)
class StoreAdd(Kind[StoreIs]):
    """Index documents: (file id, filename) each, and the text of each by its index, in UTF-8: as
    bytes, since escaping and reading megabytes of JSON holds an event loop. A file that is there,
    or being added, is not added again: it gets the attributes, and must be cut as it is.

    attributes   of each that somebody gave any, by file id
    chunking     the same: tokens of a passage, and of them those of the next one too; or 0, 0
    waits        answered when all can be found, or none; else at once, and each is on its own
    """

    store_id: Text
    documents: Annotated[tuple[tuple[str, str], ...], rows_of_texts()]
    texts: Annotated[Mapping[str, Array], arrays_by_name("tensors")]
    attributes: Plain
    chunking: Plain
    created_s: Moment
    waits: Flag
    takes_credit: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        store_id: str,
        documents: Sequence[tuple[str, str, str]],
        attributes: Mapping[str, Any] | None = None,
        chunking: Mapping[str, Sequence[int]] | None = None,
        created_s: int = 0,
        *,
        waits: bool,
    ) -> "StoreAdd":
        """(file id, filename, text) each."""
        texts = {
            str(index): np.frombuffer(text.encode(), np.uint8)
            for index, (_, _, text) in enumerate(documents)
        }
        names = tuple((file_id, name) for file_id, name, _ in documents)
        return cls(store_id, names, texts, attributes or {}, chunking or {}, created_s, waits)


@kind("store_files")
@dataclass(frozen=True, slots=True)
class StoreFiles(Kind[Facts]):
    """Which files are in a store, and how are they?

    file_ids   none means all
    status     of files of this alone, if there is one
    limit, newest_first, after, before   see Cursor
    """

    store_id: Text
    file_ids: Texts
    status: Text
    limit: Count
    newest_first: Flag
    after: Annotated[str | None, plain()]
    before: Annotated[str | None, plain()]


@kind("file_counts")
@dataclass(frozen=True, slots=True)
class FileCounts(Kind[Facts]):
    """How many of these files have which status?"""

    store_id: Text
    file_ids: Texts


@kind("file_change")
@dataclass(frozen=True, slots=True)
class FileChange(Kind[Reply]):
    """A file of a store has these attributes from now on."""

    store_id: Text
    file_id: Text
    attributes: Plain


@kind("file_remove")
@dataclass(frozen=True, slots=True)
class FileRemove(Kind[Reply]):
    """Take a file out of a store, or out of all of them (`store_id` is empty). Answered when no
    search will find it.
    """

    store_id: Text
    file_id: Text


@kind("files_cancel")
@dataclass(frozen=True, slots=True)
class FilesCancel(Kind[Reply]):
    """Stop adding those of these files that are still being added."""

    store_id: Text
    file_ids: Texts


@kind("file_read")
@dataclass(frozen=True, slots=True)
class FileRead(Kind[Facts]):
    """Passages of a file, in order, `most` from the `first`'th on."""

    store_id: Text
    file_id: Text
    first: Moment
    most: Count
    takes_credit: ClassVar[bool] = False


@kind("store_search")
@dataclass(frozen=True, slots=True)
class StoreSearch(Kind[Facts]):
    """The best passages for any of these queries, for a user, each once; of files that `narrowing`
    fits, if it is given.
    """

    store_id: Text
    queries: Texts
    top_k: Count
    narrowing: Annotated[Mapping[str, Any] | None, plain()] = None
    takes_credit: ClassVar[bool] = False
