"""Files that are told apart by what is in them, and sent."""

import os

import pytest

from cluster.worlds.machines import files


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "here" / "model"
    (made / "deep").mkdir(parents=True)
    (made / "config.json").write_text("{}")
    (made / "deep" / "weights").write_bytes(os.urandom(3 * files.END_BYTES))
    return made


def test_what_was_sent_is_the_same(folder, tmp_path) -> None:
    there = files.unpack(files.pack(folder), tmp_path / "there")
    assert there == tmp_path / "there" / "model"
    assert files.digest(there) == files.digest(folder)
    assert (there / "deep" / "weights").read_bytes() == (folder / "deep" / "weights").read_bytes()


def test_a_file_alone_is_sent_as_well(folder, tmp_path) -> None:
    one = folder / "config.json"
    there = files.unpack(files.pack(one), tmp_path / "there")
    assert there.read_text() == "{}" and files.digest(there) == files.digest(one)


@pytest.mark.parametrize("change", ["name", "length", "begin", "end"])
def test_another_name_length_or_end_is_another_folder(folder, change: str) -> None:
    before, weights = files.digest(folder), folder / "deep" / "weights"
    content = bytearray(weights.read_bytes())
    if change == "name":
        weights.rename(folder / "deep" / "weight")
    else:
        if change == "length":
            content.insert(len(content) // 2, 0)
        else:
            content[0 if change == "begin" else -1] ^= 1
        weights.write_bytes(content)
    assert files.digest(folder) != before
