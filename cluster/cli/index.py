"""What `perfuse index FOLDER [--out DIR] [--embedder hashing]` does, apart from how it is shown."""

from dataclasses import dataclass
from pathlib import Path

from cluster.retrieval.collection import OnPassages, build_collection, no_progress
from cluster.retrieval.embedder import make_embedder
from cluster.retrieval.index_folder import write_collection


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What was written, and where; vectors have `dim` float32 values."""

    out: Path
    embedder: str
    dim: int
    num_files: int
    num_passages: int
    vector_bytes: int


def default_out(folder: Path) -> Path:
    """Beside the folder, not in it, so that indexing never reads its own output."""
    folder = folder.absolute()
    return folder.with_name(f"{folder.name}.index")


def index_folder(
    folder: Path,
    out: Path | None = None,
    embedder: str = "hashing",
    progress: OnPassages | None = None,
) -> IndexSummary:
    """Index a folder (or one file) of text; an earlier index at `out` is replaced.

    `progress(done, total)` counts passages. Raises CollectionError (a ValueError) on documents that
    cannot be read or an `out` that is in the way, ValueError on an unknown embedder, ImportError
    where its extra is not installed.
    """
    chosen = make_embedder(embedder)
    collection = build_collection(folder, chosen, progress or no_progress)
    target = out if out is not None else default_out(folder)
    write_collection(collection, target)
    return IndexSummary(
        out=target,
        embedder=collection.embedder,
        dim=collection.dim,
        num_files=len(dict.fromkeys(collection.file_ids)),
        num_passages=len(collection.passages),
        vector_bytes=collection.vectors.nbytes,
    )
