"""Files that are told apart by what is in them, and sent."""

import os
from pathlib import Path

import pytest

from cluster.worlds.machines import files


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "here" / "model"
    (made / "deep").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "deep" / "weights").write_bytes(os.urandom(2 * files.SAMPLES * files.SAMPLE_BYTES))
    return made


def sent(path, tmp_path) -> Path:
    inbox = files.Inbox(tmp_path / "there")
    for piece in files.pieces(path):
        inbox.receive("model", piece)
    return inbox.complete("model", files.FileSet.of(path))


def test_what_was_sent_is_the_same(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 1_000_000)
    (folder / "empty").touch()
    (folder / "linked").symlink_to(folder / "config.json")
    assert max(len(piece.data) for piece in files.pieces(folder)) == 1_000_000
    there = sent(folder, tmp_path)
    assert there == tmp_path / "there" / "model" / "model"
    assert files.digest(there) == files.digest(folder)
    assert (there / "deep" / "weights").read_bytes() == (folder / "deep" / "weights").read_bytes()
    assert (there / "linked").read_text() == "{}", "a link leads nowhere there"


def test_what_came_before_and_longer_does_not_stay(folder, tmp_path) -> None:
    sent(folder, tmp_path)
    (folder / "deep" / "weights").write_bytes(b"short")
    assert (sent(folder, tmp_path) / "deep" / "weights").read_bytes() == b"short"


def test_a_file_alone_is_sent_as_well(folder, tmp_path) -> None:
    there = sent(folder / "config.json", tmp_path)
    assert there.read_text() == "{}"
    assert files.FileSet.of(there).digest == files.digest(folder / "config.json")


def test_what_changed_meanwhile_is_refused_and_goes(folder, tmp_path) -> None:
    inbox, before = files.Inbox(tmp_path / "there"), files.FileSet.of(folder)
    (folder / "config.json").write_text("{ }")
    for piece in files.pieces(folder):
        inbox.receive("model", piece)
    with pytest.raises(ValueError, match="model has changed while it was sent"):
        inbox.complete("model", before)
    assert not (tmp_path / "there" / "model").exists()


def test_nothing_leads_out_of_its_folder(tmp_path) -> None:
    inbox = files.Inbox(tmp_path / "there")
    with pytest.raises(ValueError, match="leads out of its folder"):
        inbox.receive("model", files.Piece("../../x", 0, b"x"))
    assert not (tmp_path / "x").exists()


def test_a_path_that_is_none_here_is_not_here(folder, tmp_path) -> None:
    one = files.FileSet.of(folder)
    assert one.is_here() and not one._replace(path=tmp_path / "no").is_here()
    assert not one._replace(path=folder / "config.json" / "x").is_here()
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT))
    assert not one._replace(path=tmp_path).is_here(), "a name that is no text there"
    assert files.FileSet.of(folder / "deep" / "..").path == folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no files"):
        files.FileSet.of(tmp_path / "empty")


@pytest.mark.parametrize("change", ["name", "length", "begin", "middle", "end"])
def test_another_name_length_or_end_is_another_folder(folder, change: str) -> None:
    before, weights = files.digest(folder), folder / "deep" / "weights"
    content = bytearray(weights.read_bytes())
    if change == "name":
        weights.rename(folder / "deep" / "weight")
    else:
        if change == "length":
            content.insert(len(content) // 2, 0)
        else:
            sampled = (len(content) - files.SAMPLE_BYTES) * 20 // (files.SAMPLES - 1)
            content[{"begin": 0, "middle": sampled, "end": -1}[change]] ^= 1
        weights.write_bytes(content)
    assert files.digest(folder) != before
