"""A trace's file as lines or as the items of one JSON array, however long it is, packed or not."""

import gzip
import json
import zlib
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cluster.workload.traces.errors import TraceError
from configs.outside import MIB, Unreadable, load_json, next_json, open_file

# A week of Azure's has 1.1 GB; ShareGPT's conversations 0.7.
TRACE_BYTES_MAX = 4096 * MIB
# A session with the token ids of all its prompts; a line of Mooncake's has 4 KB at most.
LINE_BYTES_MAX = 16 * MIB
# What `vllm bench serve --save-result` writes is one object.
WHOLE_BYTES_MAX = 256 * MIB
CHUNK_BYTES = MIB // 4

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Piece:
    """A line or an item of the file: how errors call it, where it lies in the unpacked bytes."""

    where: str
    offset: int
    num_bytes: int
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A JSON value of the file, and where it lies."""

    where: str
    offset: int
    num_bytes: int
    value: Any


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if it is a gzip file. Raises TraceError for all that is no
    readable file, also while it is read inside the block.
    """
    try:
        with open_file(path, TRACE_BYTES_MAX) as file:
            if is_packed(file):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked  # type: ignore[misc]  # reads as a file does
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: cannot be unpacked: {error}") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise TraceError(str(error)) from error


def is_packed(file: BinaryIO) -> bool:
    head = file.read(len(_GZIP))
    file.seek(0)
    return head == _GZIP


def lines(path: Path) -> Generator[Piece, None, None]:
    """The lines, with their ends, and without a byte-order mark."""
    offset = 0
    with opened(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 1):
            where = f"{path}:{number}"
            if len(line) > LINE_BYTES_MAX:
                raise Unreadable(f"{where}: is longer than {LINE_BYTES_MAX} bytes")
            if offset + len(line) > TRACE_BYTES_MAX:
                raise Unreadable(f"{where}: more than {TRACE_BYTES_MAX} bytes are before it")
            start = len(BOM_UTF8) if number == 1 and line.startswith(BOM_UTF8) else 0
            try:
                text = line[start:].decode()
            except UnicodeDecodeError as error:
                at = error.start + start
                raise Unreadable(f"{where}: is not UTF-8 text at byte {at}") from error
            yield Piece(where, offset + start, len(line) - start, text)
            offset += len(line)


def first_line(path: Path) -> str:
    """The first that says something, without the space around it; "" if none does."""
    return next((text for piece in lines(path) if (text := piece.text.strip())), "")


def json_lines(path: Path) -> Iterator[Item]:
    """One JSON value a line; empty lines are passed over."""
    for piece in lines(path):
        if piece.text.strip():
            try:
                value = load_json(piece.text)
            except Unreadable as error:
                raise TraceError(f"{piece.where}: {error}") from error
            yield Item(piece.where, piece.offset, piece.num_bytes, value)


def json_array(path: Path) -> Iterator[Item]:
    """The items of the one array that the file holds, each read when it is asked for."""
    with opened(path) as file:
        text = _Growing(file, path)
        text.skip("[", "an array begins with '['")
        while not text.begins("]"):
            where = f"{path}: item {text.num_items}"
            value, offset, num_bytes = text.item(where)
            yield Item(where, offset, num_bytes, value)
            if not text.begins("]"):
                text.skip(",", f"{where}: ',' or ']' must follow")
        text.skip("]", "")
        if not text.ends():
            raise TraceError(f"{path}: something follows the array: it must be the file's last")


class _Growing:
    """Text of a file from one point on; what was read is dropped, more is added when needed."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decode = getincrementaldecoder("utf-8")().decode
        self._text, self._at, self._is_whole = "", 0, False
        self._offset = self._num_read = 0  # bytes before `_at`, and read so far
        self.num_items = 0
        self._more(CHUNK_BYTES)
        if self._text.startswith("\ufeff"):
            self._pass(1)

    def _more(self, num_bytes: int) -> None:
        data = self._file.read(num_bytes)
        self._num_read += len(data)
        if self._num_read > TRACE_BYTES_MAX:
            raise Unreadable(f"{self._path}: has more than {TRACE_BYTES_MAX} bytes")
        try:
            added = self._decode(data, not data)
        except UnicodeDecodeError as error:
            raise TraceError(f"{self._path}: is not UTF-8 text: {error.reason}") from error
        self._text, self._at = self._text[self._at :] + added, 0
        self._is_whole = not data

    def _pass(self, num_chars: int) -> None:
        end = self._at + num_chars
        self._offset += len(self._text[self._at : end].encode())
        self._at = end

    def _space(self) -> None:
        while True:
            rest = self._text[self._at : self._at + 64]
            if stripped := rest.lstrip():
                return self._pass(len(rest) - len(stripped))
            self._pass(len(rest))
            if self._at >= len(self._text):
                if self._is_whole:
                    return None
                self._more(CHUNK_BYTES)

    def begins(self, sign: str) -> bool:
        self._space()
        return self._text.startswith(sign, self._at)

    def ends(self) -> bool:
        self._space()
        return self._at >= len(self._text)

    def skip(self, sign: str, right: str) -> None:
        if not self.begins(sign):
            found = self._text[self._at : self._at + 20]
            where = f"{self._path}: {right}"
            raise TraceError(f"{where}, but {found!r} is there" if found else f"{where}: it ends")
        self._pass(len(sign))

    def item(self, where: str) -> tuple[Any, int, int]:
        """The value that begins here, its offset and bytes."""
        self._space()
        begun = self._offset
        while True:
            try:
                value, end = next_json(self._text, self._at)
            except json.JSONDecodeError as error:
                have = len(self._text) - self._at
                if self._is_whole or have > LINE_BYTES_MAX:
                    raise TraceError(f"{where}: is not JSON: {error}") from error
                self._more(max(have, CHUNK_BYTES))
                continue
            except Unreadable as error:
                raise TraceError(f"{where}: {error}") from error
            self._pass(end - self._at)
            self.num_items += 1
            return value, begun, self._offset - begun


def whole_json(path: Path) -> Item:
    """The one JSON value that the file is."""
    with opened(path) as file:
        data = file.read(WHOLE_BYTES_MAX + 1)
        if len(data) > WHOLE_BYTES_MAX:
            raise Unreadable(f"{path}: has more than {WHOLE_BYTES_MAX} bytes")
        try:
            return Item(str(path), 0, len(data), load_json(data.removeprefix(BOM_UTF8)))
        except Unreadable as error:
            raise TraceError(f"{path}: {error}") from error


def reread(path: Path, offset: int, num_bytes: int) -> Any:
    """The JSON value that lies there, in a file that is not packed. Raises TraceError."""
    with opened(path) as file:
        file.seek(offset)
        data = file.read(num_bytes)
        try:
            return load_json(data)
        except Unreadable as error:
            where = f"{path}: at byte {offset}"
            raise TraceError(f"{where}: {error}: the file has changed meanwhile") from error
