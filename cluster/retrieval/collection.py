"""A collection: documents cut into passages, with their vectors; built once, kept in a folder,
served by shards.

    DIR/manifest.json     format, embedder and its dim, counts, checksums of the other two files
    DIR/passages.jsonl    one passage a line, in id order: {"file_id", "start", "end", "text"}
    DIR/vectors.npy       [passages, dim] float32; row i belongs to line i

A passage's id is its row. A reader sees the old folder or the new one, never a mixture.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from cluster.retrieval.embedder import Embedder
from cluster.retrieval.passages import Passage, split_document

FORMAT = "perfuse-index"
FORMAT_VERSION = 1
MANIFEST, PASSAGES, VECTORS = "manifest.json", "passages.jsonl", "vectors.npy"
TEXT_SUFFIXES = (".md", ".rst", ".text", ".txt")
# Texts embedded at a time: bounds the embedder's working memory and paces the progress.
BATCH = 256

OnPassages = Callable[[int, int], None]  # passages done, passages in all


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


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


# -------------------------------------------------------------------------------------------
# building


def documents(paths: Path | Sequence[Path]) -> list[tuple[str, Path]]:
    """(file id, path) of every text file: files as given, folders with all that is below them, by
    name.

    A file id is the path below the folder, with forward slashes, or the file's name. Hidden files
    and other suffixes than TEXT_SUFFIXES are passed over in folders. Raises CollectionError if a
    path does not exist, if two files have the same id, or if there is no file at all.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    found: dict[str, Path] = {}
    for path in given:
        if path.is_dir():
            files = {
                f.relative_to(path).as_posix(): f for f in path.rglob("*") if _is_text(path, f)
            }
        elif path.is_file():
            files = {path.name: path}
        else:
            raise CollectionError(f"{path} does not exist: give a folder or files of text")
        for file_id in sorted(files):
            if file_id in found:
                raise CollectionError(
                    f"{found[file_id]} and {files[file_id]} would both be file {file_id!r}"
                )
            found[file_id] = files[file_id]
    if not found:
        where = ", ".join(str(path) for path in given)
        raise CollectionError(f"no text in {where}: files end in {', '.join(TEXT_SUFFIXES)}")
    return list(found.items())


def _is_text(folder: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.is_file() and not hidden and path.suffix.lower() in TEXT_SUFFIXES


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CollectionError(
            f"{path} is not UTF-8 at byte {error.start}: convert it, e.g. with iconv"
        ) from error


def build_collection(
    paths: Path | Sequence[Path], embedder: Embedder, progress: OnPassages = no_progress
) -> Collection:
    """Read, split and embed documents; `progress(done, total)` after each batch of passages.

    Raises CollectionError as `documents` does, if a file is not UTF-8, or if there is not one
    passage.
    """
    passages: list[Passage] = []
    for file_id, path in documents(paths):
        passages.extend(split_document(file_id, _read_text(path)))
    if not passages:
        raise CollectionError(f"{paths} holds nothing but white space: there is nothing to index")
    return _embedded(passages, embedder, progress)


def collection_from_texts(
    texts: Iterable[str],
    embedder: Embedder,
    file_id: str = "",
    progress: OnPassages = no_progress,
) -> Collection:
    """A collection without files: each text is one passage as it stands; its id is its index."""
    passages = [Passage(file_id, 0, len(text), text) for text in texts]
    return _embedded(passages, embedder, progress)


def _embedded(passages: Sequence[Passage], embedder: Embedder, progress: OnPassages) -> Collection:
    vectors = np.empty((len(passages), embedder.dim), np.float32)
    for start in range(0, len(passages), BATCH):
        batch = passages[start : start + BATCH]
        vectors[start : start + len(batch)] = embedder.embed([p.text for p in batch])
        progress(start + len(batch), len(passages))
    vectors.flags.writeable = False
    return Collection(embedder.name, tuple(passages), vectors)


# ------------------------------------------------------------------------------------------- the
# folder


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


def open_collection(
    path: Path, embedder: Embedder, progress: OnPassages = no_progress
) -> Collection:
    """An index folder is read; any other folder or file of text is indexed in memory."""
    if is_collection(path):
        return read_collection(path, embedder)
    return build_collection(path, embedder, progress)
