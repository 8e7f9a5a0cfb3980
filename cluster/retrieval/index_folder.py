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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from cluster.retrieval.embedder import Embedder
from cluster.retrieval.passages import Passage

FORMAT = "perfuse-index"
FORMAT_VERSION = 1
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
        contents = {file: _read_checked(folder / file, sums[file]) for file in (PASSAGES, VECTORS)}
    except (KeyError, TypeError) as error:
        raise CollectionError(f"{folder / MANIFEST} lacks or misplaces {error}") from error
    if embedder is not None and (embedder.name, embedder.dim) != (name, dim):
        raise CollectionError(
            f"{folder} was made with embedder {name!r} ({dim} values), not with "
            f"{embedder.name!r} ({embedder.dim}): use that one or index again"
        )
    # Not splitlines(): a passage may hold U+2028, which JSON leaves as it is.
    lines = contents[PASSAGES].decode().split("\n")[:-1]
    passages = tuple(Passage(**json.loads(line)) for line in lines)
    vectors: NDArray[np.float32] = np.load(io.BytesIO(contents[VECTORS]), allow_pickle=False)
    if len(passages) != count or vectors.shape != (count, dim):
        raise CollectionError(
            f"{folder}: {len(passages)} passages and vectors of shape {vectors.shape}, where the "
            f"manifest says {count} of {dim} values"
        )
    vectors.flags.writeable = False
    return Collection(name, passages, vectors)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CollectionError(
            f"{folder} is not an index (no {MANIFEST}): make one with `perfuse index FOLDER`"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CollectionError(f"{path} is damaged: index again ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CollectionError(f"{path} is not the manifest of a {FORMAT}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CollectionError(
            f"{path} has format_version {manifest.get('format_version')}: "
            f"this version reads {FORMAT_VERSION}; index again"
        )
    return manifest


def _read_checked(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CollectionError(f"{path} is missing: index again") from error
    if xxh3_128_hexdigest(data) != expected:
        raise CollectionError(f"{path} was cut or changed after it was made: index again")
    return data
