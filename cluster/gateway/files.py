"""Uploaded files, and which of them are in which vector store.

Both live in this process's memory, bounded, and are lost with it; passages and vectors live in the
cluster. A file that was attached stays searchable after it is deleted here, as with OpenAI.
"""

from dataclasses import dataclass, field, replace

from cluster.gateway.errors import BodyTooLarge
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest, NotFound

PURPOSES = ("assistants", "user_data", "batch", "fine-tune", "vision", "evals")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`created_s` is Unix seconds."""

    file_id: str
    filename: str
    purpose: str
    content: bytes
    created_s: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a vector store; not `indexed` while the cluster is still at it."""

    file_id: str
    store_id: str
    num_bytes: int
    created_s: int
    indexed: bool = False


class FileShelf:
    """Holds at most `max_files` files and `max_files_total_bytes` bytes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._files: dict[str, StoredFile] = {}
        self._num_bytes = 0
        self._count = 0

    def add(
        self, filename: str, purpose: str, content: bytes, created_s: int, stem: str
    ) -> StoredFile:
        """Ids are `file-{stem}-{count}`. Raises InvalidRequest, or BodyTooLarge where it does not
        fit.
        """
        limits = self._settings
        if purpose not in PURPOSES:
            raise InvalidRequest(
                f"purpose is {purpose!r:.80}: it must be one of {', '.join(PURPOSES)}",
                param="purpose",
            )
        if len(content) > limits.max_file_bytes:
            raise BodyTooLarge(
                f"the file has {len(content)} bytes: at most {limits.max_file_bytes} are taken",
                param="file",
            )
        if len(self._files) >= limits.max_files:
            raise InvalidRequest(
                f"{len(self._files)} files are stored, which is the limit: delete some",
                param="file",
            )
        if self._num_bytes + len(content) > limits.max_files_total_bytes:
            raise InvalidRequest(
                f"{self._num_bytes} bytes are stored and this file has {len(content)}: at most "
                f"{limits.max_files_total_bytes} are kept; delete some files",
                param="file",
            )
        self._count += 1
        file = StoredFile(f"file-{stem}-{self._count}", filename, purpose, content, created_s)
        self._files[file.file_id] = file
        self._num_bytes += len(content)
        return file

    def get(self, file_id: str) -> StoredFile:
        """Raises NotFound."""
        if file_id not in self._files:
            raise NotFound(f"no file {file_id!r:.80}", param="file_id")
        return self._files[file_id]

    def remove(self, file_id: str) -> None:
        """Raises NotFound."""
        self._num_bytes -= len(self.get(file_id).content)
        del self._files[file_id]

    def all(self) -> list[StoredFile]:
        """Oldest first."""
        return list(self._files.values())


@dataclass(slots=True)
class Attachments:
    """Which files are in which store, oldest first."""

    _by_store: dict[str, dict[str, Attachment]] = field(default_factory=dict)

    def begin(self, store_id: str, file: StoredFile, created_s: int) -> Attachment | None:
        """Note that indexing starts; None if it has before, so that no passage is indexed twice."""
        files = self._by_store.setdefault(store_id, {})
        if file.file_id in files:
            return None
        files[file.file_id] = Attachment(file.file_id, store_id, len(file.content), created_s)
        return files[file.file_id]

    def finish(self, store_id: str, file_id: str) -> None:
        """Indexed. The store may have been deleted meanwhile."""
        files = self._by_store.get(store_id, {})
        if file_id in files:
            files[file_id] = replace(files[file_id], indexed=True)

    def abandon(self, store_id: str, file_id: str) -> None:
        """Indexing failed: as if it had never begun."""
        files = self._by_store.get(store_id, {})
        files.pop(file_id, None)
        if not files:
            self._by_store.pop(store_id, None)

    def get(self, store_id: str, file_id: str) -> Attachment:
        """Raises NotFound."""
        found = self._by_store.get(store_id, {}).get(file_id)
        if found is None:
            raise NotFound(
                f"no file {file_id!r:.80} in vector store {store_id!r:.80}", param="file_id"
            )
        return found

    def of(self, store_id: str) -> list[Attachment]:
        return list(self._by_store.get(store_id, {}).values())

    def drop_store(self, store_id: str) -> None:
        self._by_store.pop(store_id, None)


def text_of(file: StoredFile) -> str:
    """The file as text. Raises InvalidRequest if it is not UTF-8, or empty."""
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"file {file.file_id} ({file.filename!r:.80}) is not UTF-8 text (byte "
            f"{error.start}): only text files can be indexed",
            param="file_id",
        ) from error
    if not text.strip():
        raise InvalidRequest(
            f"file {file.file_id} ({file.filename!r:.80}) has no text", param="file_id"
        )
    return text
