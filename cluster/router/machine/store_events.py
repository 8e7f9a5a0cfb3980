"""What happened to vector stores. See `events`."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreNamed:
    """The id is taken from now on; the memory servers do not know the store yet."""

    at_ns: int
    store_id: str
    name: str
    embedder: str


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
class FilesAdded:
    """These files (file id -> name) can be found, by the passages first_id .. first_id +
    num_passages - 1.
    """

    at_ns: int
    store_id: str
    files: Mapping[str, str]
    first_id: int
    num_passages: int


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
    | FilesAdded
    | StoreDeleted
    | StoreDropped
)
