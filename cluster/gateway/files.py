"""Uploaded files. They live in this process's memory, bounded, and are lost with it. What is made
of them for vector stores lives in the cluster, and goes with them when they are deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.api.cursor import Places
from cluster.gateway.errors import BodyTooLarge
from cluster.gateway.settings import GatewaySettings
from workers.errors import InvalidRequest, NotFound

PURPOSES = ("assistants", "user_data", "batch", "fine-tune", "vision", "evals")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`created_s` is Unix seconds; the `number`'th that was ever stored."""

    file_id: str
    filename: str
    purpose: str
    content: bytes
    created_s: int
    number: int


class FileShelf:
    """Holds at most `max_files` files and `max_files_total_bytes` bytes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._files: dict[str, StoredFile] = {}
        self._num_bytes = 0
        self._count = 0
        self._places = Places()

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
        file_id = f"file-{stem}-{self._count}"
        file = StoredFile(file_id, filename, purpose, content, created_s, self._count)
        self._files[file.file_id] = file
        self._num_bytes += len(content)
        return file

    def get(self, file_id: str) -> StoredFile:
        """Raises NotFound."""
        if file_id not in self._files:
            raise NotFound(f"no file {file_id!r:.80}", param="file_id")
        return self._files[file_id]

    def take_out(self, file_id: str) -> StoredFile:
        """Raises NotFound."""
        file = self.get(file_id)
        self._num_bytes -= len(file.content)
        del self._files[file_id]
        return file

    def put_back(self, file: StoredFile) -> None:
        """What was taken out, as if it had never been: in its place."""
        self._num_bytes += len(file.content)
        self._files[file.file_id] = file
        in_order = sorted(self._files.values(), key=lambda one: one.number)
        self._files = {one.file_id: one for one in in_order}

    def all(self) -> list[StoredFile]:
        """Oldest first."""
        return list(self._files.values())

    def numbers(self) -> Mapping[str, int]:
        """See Places."""
        return self._places.see(self._files)


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
