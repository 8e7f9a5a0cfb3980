"""A collection: documents cut into passages, with their vectors; built once, kept in a folder,
served by shards.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cluster.retrieval.embedder import Embedder
from cluster.retrieval.index_folder import (
    Collection,
    CollectionError,
    is_collection,
    read_collection,
)
from cluster.retrieval.passages import Passage, split_document
from configs.outside import MIB, Unreadable, read_file

__all__ = [
    "Collection",
    "CollectionError",
    "OnPassages",
    "build_collection",
    "collection_from_texts",
    "documents",
    "no_progress",
    "open_collection",
]

TEXT_SUFFIXES = (".md", ".rst", ".text", ".txt")
DOCUMENT_BYTES_MAX = 256 * MIB
# Texts embedded at a time: bounds the embedder's working memory and paces the progress.
BATCH = 256

OnPassages = Callable[[int, int], None]  # passages done, passages in all


def no_progress(done: int, total: int) -> None:
    """Nobody watches."""


def open_collection(
    path: Path, embedder: Embedder, progress: OnPassages = no_progress
) -> Collection:
    """An index folder is read; any other folder or file of text is indexed in memory."""
    if is_collection(path):
        return read_collection(path, embedder)
    return build_collection(path, embedder, progress)


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
        elif _is_there(path):
            files = {path.name: path}
        else:
            raise CollectionError(f"{path} does not exist: give a folder or files of text")
        for file_id in sorted(files):
            _check_name(file_id)
            if file_id in found:
                raise CollectionError(
                    f"{found[file_id]} and {files[file_id]} would both be file {file_id!r}"
                )
            found[file_id] = files[file_id]
    if not found:
        where = ", ".join(str(path) for path in given)
        raise CollectionError(f"no text in {where}: files end in {', '.join(TEXT_SUFFIXES)}")
    return list(found.items())


def passed_over(folder: Path) -> list[Path]:
    """What is called like a text below a folder and is no file: pipes, links to nothing."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.rglob("*") if _is_named_so(folder, path))
    return sorted(path for path in named if not path.is_file() and not path.is_dir())


def _check_name(file_id: str) -> None:
    try:
        file_id.encode()
    except UnicodeEncodeError as error:
        text = f"{os.fsencode(file_id)!r:.200}: its name is not UTF-8: give it another"
        raise CollectionError(text) from error


def _is_there(path: Path) -> bool:
    """Whatever it is: a pipe or a device is refused when it is read."""
    try:
        return path.exists() or path.is_symlink()
    except OSError:  # links in a circle
        return True


def _is_text(folder: Path, path: Path) -> bool:
    return _is_named_so(folder, path) and path.is_file()


def _is_named_so(folder: Path, path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in TEXT_SUFFIXES


def _read_text(path: Path) -> str:
    try:
        return read_file(path, DOCUMENT_BYTES_MAX).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CollectionError(
            f"{path} is not UTF-8 at byte {error.start}: convert it, e.g. with iconv"
        ) from error
    except (OSError, Unreadable) as error:
        raise CollectionError(f"{path} cannot be indexed: {error}") from error


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
