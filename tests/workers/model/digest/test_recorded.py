"""Files of recorded routing: what is written is read, and what is broken is named."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.checkpoint_files import CheckpointError
from tests.workers.model.digest.models import LATENT
from workers.model.digest.recorded import read_routing, write_routing

TABLE = np.array([[[0, 5, 11], [1, 2, 3]], [[9, 8, 7], [0, 11, 4]]], np.int32)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_routing(tmp_path / "r", 12, TABLE)
    # magic, four counts, and 2 tokens x 2 layers x 3 experts of 2 bytes
    assert (tmp_path / "r").stat().st_size == 8 + 16 + 24
    read = read_routing(tmp_path / "r")
    assert read.num_experts == 12
    assert np.array_equal(read.fitting(LATENT), TABLE)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_experts": 16}, "of a model with 12 experts, and this one has 16"),
        ({"top_k": 2}, "with 3 experts a token, and this one has 2"),
        ({"num_layers": 9}, "with 2 layers with experts, and this one has 8"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, changes: dict, told: str) -> None:
    write_routing(tmp_path / "r", 12, TABLE)
    with pytest.raises(CheckpointError, match=told):
        read_routing(tmp_path / "r").fitting(replace(LATENT, **changes))


def cut(data: bytes) -> bytes:
    return data[:-1]


def longer(data: bytes) -> bytes:
    return data + b"\0"


def other(data: bytes) -> bytes:
    return b"x" + data[1:]


def no_tokens(data: bytes) -> bytes:
    return data[:20] + bytes(4)


def unknown_expert(data: bytes) -> bytes:
    return data[:24] + (12).to_bytes(2, "little") + data[26:]


def twice(data: bytes) -> bytes:
    return data[:24] + data[26:28] + data[26:]


@pytest.mark.parametrize("spoil", [cut, longer, other, no_tokens, unknown_expert, twice])
def test_what_is_broken_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "r"
    write_routing(path, 12, TABLE)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"model\.routing\.replay: .*/r "):
        read_routing(path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_routing(tmp_path / "none")


def test_what_has_no_end_is_no_recording(tmp_path: Path) -> None:
    """A pipe that nobody writes to, and a device that gives bytes for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(CheckpointError, match=rf"replay: {path}: is {what}: it must be a reg"):
            read_routing(path)
