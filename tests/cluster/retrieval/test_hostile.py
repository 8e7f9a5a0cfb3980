"""Folders of documents and indexes that hold what nobody wrote: refused by name, at once."""

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_hexdigest

from cluster.retrieval.collection import CollectionError, build_collection, open_collection
from cluster.retrieval.embedder import make_embedder
from cluster.retrieval.index_folder import (
    MANIFEST,
    PASSAGES,
    VECTORS,
    read_collection,
    write_collection,
)

EMBEDDER = make_embedder("hashing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound index of two passages."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("one small text")
    (documents / "b.txt").write_text("another text")
    write_collection(build_collection(documents, EMBEDDER), tmp_path / "index")
    return tmp_path / "index"


def replace(folder: Path, name: str, data: bytes, **changes: Any) -> None:
    """Other bytes with a checksum that fits them, as somebody who means harm would write."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text()) | changes
    manifest["xxh3_128"][name] = xxh3_128_hexdigest(data)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def array_file(header: bytes, data: bytes = b"") -> bytes:
    head = header.ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [MANIFEST, PASSAGES, VECTORS])
def test_an_index_of_pipes_and_devices_is_refused(folder: Path, name: str) -> None:
    """Also a link in a circle, and a sparse TiB."""
    path = folder / name

    def sparse() -> None:
        with path.open("wb") as file:
            file.truncate(1 << 40)

    for make in (
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path),
        path.mkdir,
        sparse,
    ):
        path.unlink()
        make()
        with pytest.raises(CollectionError, match=name):
            read_collection(folder, EMBEDDER)
        if path.is_dir():
            path.rmdir()
            path.touch()


@pytest.mark.timeout(20)
def test_documents_that_are_no_files(tmp_path: Path) -> None:
    """Named, they are refused; below a folder passed over, and links lead nowhere twice."""
    pipe, loop = tmp_path / "pipe.txt", tmp_path / "loop.txt"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    (tmp_path / "again").symlink_to(tmp_path)
    for path in (pipe, loop, Path("/dev/zero")):
        with pytest.raises(CollectionError, match=path.name):
            open_collection(path, EMBEDDER)
    with pytest.raises(CollectionError, match="no text in"):
        open_collection(tmp_path, EMBEDDER)
    (tmp_path / "good.txt").write_text("words")
    assert open_collection(tmp_path, EMBEDDER).file_ids == ("good.txt",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 900 + "]" * 900, "nested too deep"),
        ('{"format": "perfuse-index", "format": "x"}', "names 'format' twice"),
        ('{"format": "perfuse-index", "format_version": 1e400}', "is 1e400"),
        ('{"format": "perfuse-index", "format_version": [[[1]]]}', "has format_version"),
        ('{"format": "perfuse-index", "format_version": 1}', "lacks or misplaces"),
        ("\0", "not JSON"),
    ],
)
def test_hostile_manifests(folder: Path, text: str, told: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CollectionError, match=told) as caught:
        read_collection(folder)
    assert len(str(caught.value)) < 400


def vectors(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.mark.timeout(20)
def test_hostile_contents_with_checksums_that_fit(folder: Path) -> None:
    """10^15 values in 118 bytes are refused before room is made for them."""
    line = b'{"file_id": "a", "start": 0, "end": 1, "text": "t"}\n'
    for name, data, told in (
        (PASSAGES, b"[" * 900 + b"]" * 900 + b"\n", "nested too deep"),
        (PASSAGES, line + line.replace(b'"t"', b"[]"), "passages.jsonl:2: is"),
        (PASSAGES, line + b'{"file_id": "a", "evil": 1}\n', "passages.jsonl:2: is"),
        (PASSAGES, line, "has 1 passages"),
        (PASSAGES, b"\xff\n", "not UTF-8 at byte 0"),
    ):
        replace(folder, name, data)
        with pytest.raises(CollectionError, match=told):
            read_collection(folder)
    replace(folder, PASSAGES, line + line)
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000)}"
    for data, told in (
        (array_file(huge), "must be a .npy file of float32"),
        (
            array_file(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 384)}"),
            "must be a .npy file of float32",
        ),
        (array_file(b"(" * 60), "must be a .npy"),
        (array_file(b"__import__('os')"), "must be a .npy"),
        (b"\x93NUMPY\x03\x00" + b"\xff" * 50, "must be a .npy"),
        (b"", "must be a .npy"),
        (vectors(np.full((2, EMBEDDER.dim), np.nan, np.float32)), "NaN or infinity"),
        (vectors(np.zeros((3, EMBEDDER.dim), np.float32)), "must be a .npy file of float32"),
        (vectors(np.zeros((2, EMBEDDER.dim), np.float64)), "must be a .npy file of float32"),
    ):
        replace(folder, VECTORS, data)
        with pytest.raises(CollectionError, match=told):
            read_collection(folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([PASSAGES, VECTORS, MANIFEST]), data=st.data())
def test_any_bytes_are_an_index_or_refused(folder: Path, name: str, data: st.DataObject) -> None:
    kept = {n: (folder / n).read_bytes() for n in (PASSAGES, VECTORS, MANIFEST)}
    raw = bytearray(kept[name])
    places = st.integers(0, min(len(raw), 400) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=3)):
        raw[place] = byte
    cut = (
        bytes(raw[: data.draw(st.integers(0, len(raw)))])
        if data.draw(st.booleans())
        else bytes(raw)
    )
    if name == MANIFEST:
        (folder / name).write_bytes(cut)
    else:
        replace(folder, name, cut)
    with suppress(CollectionError):
        read_collection(folder, EMBEDDER)
    for file, old in kept.items():
        (folder / file).write_bytes(old)
