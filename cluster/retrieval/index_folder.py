"""A collection and the folder that keeps it.

    DIR/manifest.json     format, embedder and its dim, counts, checksums of the other two files
    DIR/passages.jsonl    one passage a line, in id order: {"file_id", "start", "end", "text"}
    DIR/vectors.npy       [passages, dim] float32; row i belongs to line i

A passage's id is its row. A reader sees the old folder or the new one, never a mixture.
"""

import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from cluster.retrieval.embedder import Embedder
from cluster.retrieval.passages import Passage
from configs.outside import MIB, Unreadable, load_json, read_file, read_text, shown

FORMAT = "perfuse-index"
FORMAT_VERSION = 1
# Of passages and of vectors: each is held in memory whole.
INDEX_BYTES_MAX = 4096 * MIB
MANIFEST, PASSAGES, VECTORS = "manifest.json", "passages.jsonl", "vectors.npy"


class CollectionError(ValueError):
    """An index folder or a document for one is not as it should be; the message says what is."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Passage i has id i and row i of `vectors`, [len(passages), dim] float32, read-only."""

    embedder: str
    passages: tuple[Passage, ...]
    vectors: NDArray[np.float32]

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(passage.text for passage in self.passages)

    @property
    def file_ids(self) -> tuple[str, ...]:
        return tuple(passage.file_id for passage in self.passages)


def is_collection(folder: Path) -> bool:
    """Whether the folder says that it is an index; it may still be damaged."""
    return (folder / MANIFEST).is_file()


def write_collection(collection: Collection, folder: Path) -> None:
    """Write the index folder; an earlier index there is replaced as a whole.

    Raises CollectionError if something else is in the way.
    """
    if (
        folder.exists()
        and not is_collection(folder)
        and (folder.is_file() or any(folder.iterdir()))
    ):
        raise CollectionError(f"{folder} is in the way and is not an index: choose another folder")
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, data in _files(collection).items():
            with (partial / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(collection: Collection) -> dict[str, bytes]:
    """File name -> content; the same collection gives the same bytes."""
    lines = (json.dumps(asdict(p), ensure_ascii=False) + "\n" for p in collection.passages)
    passages = "".join(lines).encode()
    buffer = io.BytesIO()
    np.save(buffer, collection.vectors.astype("<f4"), allow_pickle=False)
    vectors = buffer.getvalue()
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "embedder": {"name": collection.embedder, "dim": collection.dim},
        "num_files": len(dict.fromkeys(collection.file_ids)),
        "num_passages": len(collection.passages),
        "xxh3_128": {
            PASSAGES: xxh3_128_hexdigest(passages),
            VECTORS: xxh3_128_hexdigest(vectors),
        },
    }
    text = json.dumps(manifest, indent=2) + "\n"
    return {PASSAGES: passages, VECTORS: vectors, MANIFEST: text.encode()}


def _put_in_place(partial: Path, folder: Path) -> None:
    """The old index steps aside: no folder can be renamed onto a full one. Back if that fails."""
    if not is_collection(folder):
        partial.rename(folder)
        return
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(aside)
    try:
        partial.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside)


def read_collection(folder: Path, embedder: Embedder | None = None) -> Collection:
    """Load an index folder and verify all of it; with `embedder`, also that its queries fit these
    vectors.

    Raises CollectionError if it is missing, of another format, cut or changed, or of another
    embedder.
    """
    manifest = _read_manifest(folder)
    try:
        name, dim = manifest["embedder"]["name"], manifest["embedder"]["dim"]
        count, sums = manifest["num_passages"], manifest["xxh3_128"]
        expected = [str(sums[file]) for file in (PASSAGES, VECTORS)]
    except (KeyError, TypeError) as error:
        raise CollectionError(f"{folder / MANIFEST} lacks or misplaces {error}") from error
    if type(dim) is not int or type(count) is not int or dim < 1 or count < 0:
        raise CollectionError(
            f"{folder / MANIFEST} says {shown(count)} passages of {shown(dim)} values: it must be "
            "whole numbers"
        )
    contents = {
        file: _read_checked(folder / file, checksum)
        for file, checksum in zip((PASSAGES, VECTORS), expected, strict=True)
    }
    if embedder is not None and (embedder.name, embedder.dim) != (name, dim):
        raise CollectionError(
            f"{folder} was made with embedder {name!r} ({dim} values), not with "
            f"{embedder.name!r} ({embedder.dim}): use that one or index again"
        )
    passages = _passages(folder / PASSAGES, contents[PASSAGES])
    if len(passages) != count:
        raise CollectionError(
            f"{folder / PASSAGES}: has {len(passages)} passages, where the manifest says {count}"
        )
    vectors = _vectors(folder / VECTORS, contents[VECTORS], (count, dim))
    vectors.flags.writeable = False
    return Collection(name, passages, vectors)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = load_json(read_text(path, MIB))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CollectionError(
            f"{folder} is not an index (no {MANIFEST}): make one with `perfuse index FOLDER`"
        ) from error
    except Unreadable as error:
        raise CollectionError(f"{path} is damaged: index again ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CollectionError(f"{path} is not the manifest of a {FORMAT}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CollectionError(
            f"{path} has format_version {shown(manifest.get('format_version'))}: "
            f"this version reads {FORMAT_VERSION}; index again"
        )
    return manifest


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        data = read_file(path, INDEX_BYTES_MAX)
    except FileNotFoundError as error:
        raise CollectionError(f"{path} is missing: index again") from error
    except Unreadable as error:
        raise CollectionError(f"{error}: index again") from error
    if xxh3_128_hexdigest(data) != expected:
        raise CollectionError(f"{path} was cut or changed after it was made: index again")
    return data


def _passages(path: Path, data: bytes) -> tuple[Passage, ...]:
    """A passage a line. A checksum says that they are as they were written, not by whom."""
    try:
        # Not splitlines(): a passage may hold U+2028, which JSON leaves as it is.
        lines = data.decode().split("\n")[:-1]
    except UnicodeDecodeError as error:
        raise CollectionError(f"{path}: is not UTF-8 at byte {error.start}") from error
    return tuple(_passage(f"{path}:{n}", line) for n, line in enumerate(lines, start=1))


def _passage(where: str, line: str) -> Passage:
    try:
        row = load_json(line)
    except Unreadable as error:
        raise CollectionError(f"{where}: {error}") from error
    right = {"file_id": str, "start": int, "end": int, "text": str}
    if not isinstance(row, dict) or {key: type(value) for key, value in row.items()} != right:
        raise CollectionError(
            f'{where}: is {shown(row)}: it must be {{"file_id": text, "start": n, "end": n, '
            '"text": text}'
        )
    return Passage(**row)


def _vectors(path: Path, data: bytes, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What numpy would write before them is known; its reader would make room for what a header
    asks for before it looks how much is there.
    """
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    head = header.getvalue()
    if not data.startswith(head) or len(data) != len(head) + 4 * prod(shape):
        raise CollectionError(
            f"{path}: begins with {shown(data[:80])} and has {len(data)} bytes: it must be a .npy "
            f"file of float32 {shape}, {len(head) + 4 * prod(shape)} bytes"
        )
    vectors = np.frombuffer(data, dtype="<f4", offset=len(head)).reshape(shape)
    if not np.isfinite(vectors).all():
        raise CollectionError(f"{path}: holds NaN or infinity: index again")
    return vectors
