"""An index folder is whole or refused, and says what is wrong with it."""

import json

import numpy as np
import pytest

from cluster.retrieval.collection import (
    CollectionError,
    build_collection,
    collection_from_texts,
    open_collection,
)
from cluster.retrieval.embedder import HashingEmbedder
from cluster.retrieval.index_folder import read_collection, write_collection

EMBEDDER = HashingEmbedder(32)


@pytest.fixture
def folder(tmp_path):
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "b.txt").write_text("Fact one.\nFact two.\n")
    (docs / "sub" / "a.md").write_text("# Title\n\nA line with \u2028 a separator.\n")
    (docs / ".hidden.txt").write_text("not this")
    (docs / "image.png").write_bytes(b"\x89PNG")
    return docs


def test_a_collection_survives_its_folder(folder, tmp_path):
    seen = []
    built = build_collection(folder, EMBEDDER, lambda done, total: seen.append((done, total)))
    assert list(dict.fromkeys(built.file_ids)) == ["b.txt", "sub/a.md"]
    assert built.texts[:2] == ("Fact one.", "Fact two.")
    assert seen == [(len(built.passages), len(built.passages))]
    assert not built.vectors.flags.writeable
    write_collection(built, tmp_path / "index")
    back = read_collection(tmp_path / "index", EMBEDDER)
    assert back.passages == built.passages
    assert back.embedder == built.embedder == "hashing-32"
    assert back.vectors.dtype == np.float32
    np.testing.assert_array_equal(back.vectors, built.vectors)
    assert open_collection(tmp_path / "index", EMBEDDER).passages == built.passages
    assert open_collection(folder, EMBEDDER).passages == built.passages


def test_the_same_documents_give_the_same_bytes(folder, tmp_path):
    for name in ("one", "two"):
        write_collection(build_collection(folder, EMBEDDER), tmp_path / name)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_texts_keep_their_index():
    texts = ["first", "", "first"]
    made = collection_from_texts(texts, EMBEDDER)
    assert list(made.texts) == texts
    assert made.vectors.shape == (3, 32)


def test_a_new_index_replaces_the_old_one_and_leaves_no_trace(folder, tmp_path):
    out = tmp_path / "index"
    write_collection(collection_from_texts(["old"], EMBEDDER), out)
    write_collection(collection_from_texts(["new", "er"], EMBEDDER), out)
    assert read_collection(out).texts == ("new", "er")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["docs", "index"]


def test_a_failed_write_leaves_the_old_index(tmp_path, monkeypatch):
    out = tmp_path / "index"
    write_collection(collection_from_texts(["old"], EMBEDDER), out)

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr("cluster.retrieval.index_folder.os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_collection(collection_from_texts(["new"], EMBEDDER), out)
    assert read_collection(out).texts == ("old",)
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_other_peoples_folders_are_not_replaced(folder):
    with pytest.raises(CollectionError, match="in the way"):
        write_collection(collection_from_texts(["x"], EMBEDDER), folder)
    assert (folder / "b.txt").exists()


@pytest.mark.parametrize("name", ["passages.jsonl", "vectors.npy"])
def test_a_damaged_index_is_refused(tmp_path, name):
    out = tmp_path / "index"
    write_collection(collection_from_texts(["one", "two"], EMBEDDER), out)
    data = (out / name).read_bytes()
    for damaged in (data[:-1], data + b" ", data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]):
        (out / name).write_bytes(damaged)
        with pytest.raises(CollectionError, match=f"{name} was cut or changed"):
            read_collection(out)
    (out / name).unlink()
    with pytest.raises(CollectionError, match=f"{name} is missing"):
        read_collection(out)


def test_a_manifest_that_does_not_fit_is_named(tmp_path):
    out = tmp_path / "index"
    write_collection(collection_from_texts(["one"], EMBEDDER), out)
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    for changes, what in (
        ({"format_version": 9}, "format_version 9"),
        ({"format": "other"}, "not the manifest"),
        ({"num_passages": 2}, "manifest says 2"),
        ({"embedder": None}, "lacks or misplaces"),
    ):
        path.write_text(json.dumps(manifest | changes))
        with pytest.raises(CollectionError, match=what):
            read_collection(out)
    path.write_text("{")
    with pytest.raises(CollectionError, match="damaged"):
        read_collection(out)
    with pytest.raises(CollectionError, match="perfuse index"):
        read_collection(tmp_path / "nowhere")


def test_another_embedder_is_refused(tmp_path):
    write_collection(collection_from_texts(["one"], EMBEDDER), tmp_path / "index")
    with pytest.raises(CollectionError, match=r"'hashing-32' \(32 values\), not with 'hashing-64'"):
        read_collection(tmp_path / "index", HashingEmbedder(64))


def test_documents_that_cannot_be_indexed_are_named(tmp_path, folder):
    with pytest.raises(CollectionError, match="does not exist"):
        build_collection(tmp_path / "nowhere", EMBEDDER)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CollectionError, match="no text in"):
        build_collection(tmp_path / "empty", EMBEDDER)
    (tmp_path / "empty" / "blank.txt").write_text(" \n")
    with pytest.raises(CollectionError, match="white space"):
        build_collection(tmp_path / "empty", EMBEDDER)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CollectionError, match=r"latin\.txt is not UTF-8 at byte 3"):
        build_collection(folder, EMBEDDER)
    with pytest.raises(CollectionError, match=r"would both be file 'b\.txt'"):
        build_collection([folder / "b.txt", folder / "b.txt"], EMBEDDER)
