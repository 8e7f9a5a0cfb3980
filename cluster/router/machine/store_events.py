"""What happened to vector stores. See `events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.router.machine.store_state import Span, StoreFile


@dataclass(frozen=True, slots=True)
class StoreNamed:
    """The id is taken from now on; the memory servers do not know the store yet."""

    at_ns: int
    store_id: str
    name: str
    embedder: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_s: int = 0


@dataclass(frozen=True, slots=True)
class StoreCreated:
    """Every memory server has it."""

    at_ns: int
    store_id: str


@dataclass(frozen=True, slots=True)
class PassagesAnnounced:
    """Passage ids first_id .. first_id + num_passages - 1 are taken, whatever comes of them."""

    at_ns: int
    store_id: str
    first_id: int
    num_passages: int


@dataclass(frozen=True, slots=True)
class PassagesStored:
    """A memory server has added some, and holds `held_bytes` of this store in all."""

    at_ns: int
    store_id: str
    server: str
    held_bytes: int


@dataclass(frozen=True, slots=True)
class PassagesDropped:
    """Their addition failed, and no memory server holds any of them."""

    at_ns: int
    store_id: str
    first_id: int
    num_passages: int


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """Its user calls it otherwise."""

    at_ns: int
    store_id: str
    name: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FilesBegun:
    """These files are to be added, for the first time or once more after it came to nothing."""

    at_ns: int
    store_id: str
    files: Mapping[str, StoreFile]


@dataclass(frozen=True, slots=True)
class FilesAdded:
    """These files can be found, by the passages first_id .. first_id + num_passages - 1: each by
    its own spans of them.
    """

    at_ns: int
    store_id: str
    first_id: int
    num_passages: int
    spans: Mapping[str, list[Span]]


@dataclass(frozen=True, slots=True)
class FileEnded:
    """Adding it came to nothing: it is FAILED, or CANCELLED."""

    at_ns: int
    store_id: str
    file_id: str
    status: str
    error_code: str
    error: str


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """It is found no more; the memory servers may still hold its passages."""

    at_ns: int
    store_id: str
    file_id: str


@dataclass(frozen=True, slots=True)
class FileChanged:
    """Its attributes are these."""

    at_ns: int
    store_id: str
    file_id: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoreLacks:
    """A memory server came back without its part: the store is not searched, nor added to, until
    StoreFilled.
    """

    at_ns: int
    store_id: str
    server: str


@dataclass(frozen=True, slots=True)
class StoreFilled:
    """That server has its part again."""

    at_ns: int
    store_id: str
    server: str


@dataclass(frozen=True, slots=True)
class StoreDeleted:
    """It is found no more; the memory servers may still hold it."""

    at_ns: int
    store_id: str


@dataclass(frozen=True, slots=True)
class StoreDropped:
    """No memory server holds it any more."""

    at_ns: int
    store_id: str


StoreEvent = (
    StoreNamed
    | StoreCreated
    | PassagesAnnounced
    | PassagesStored
    | PassagesDropped
    | StoreChanged
    | FilesBegun
    | FilesAdded
    | FileEnded
    | FileRemoved
    | FileChanged
    | StoreLacks
    | StoreFilled
    | StoreDeleted
    | StoreDropped
)
