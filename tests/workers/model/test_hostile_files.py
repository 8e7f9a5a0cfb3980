"""Checkpoint files that say what is not so: each refused by name, before anything is computed."""

import json
import os
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE, CheckpointError
from configs.families import load_model
from tests.workers.model.models import SIZES, write_config, write_model
from workers.model.checkpoint import Checkpoint, verify
from workers.model.header import read_header

TENSOR = {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}


def write(folder: Path, header: object, num_bytes: int = 24) -> Path:
    """A file whose tensors' bytes are 1, 2, 3, ..."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / SINGLE_FILE
    data = bytes(range(1, num_bytes + 1))
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(begin: Any, end: Any, dtype: Any = "BF16", shape: Any = (2, 3)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_offsets_that_tile_the_file_are_read(tmp_path: Path) -> None:
    """In any order of names; the bf16 of bytes 13, 14 is 0x0e0d in the upper half of an fp32."""
    write(tmp_path, {"b": entry(12, 24), "a": entry(0, 12), "empty": entry(12, 12, shape=[0])})
    with Checkpoint(tmp_path) as checkpoint:
        got = checkpoint.read("b", (2, 3))
    assert got[0, 0] == np.uint32(0x0E0D << 16).view(np.float32)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"a": entry(0, 12), "b": entry(0, 12)}, "must begin at 12"),
        ({"a": entry(0, 12), "b": entry(6, 24)}, "must begin at 12"),
        ({"a": entry(0, 12), "b": entry(13, 24)}, "must begin at 12"),
        ({"a": entry(-12, 0), "b": entry(0, 24)}, "tensor 'a' is"),
        ({"a": entry(-8, 4)}, "tensor 'a' is"),
        ({"a": entry(24, 12), "b": entry(0, 24)}, "must begin at"),
        ({"a": entry(4, 24)}, "must begin at 0"),
        ({"a": entry(0, 12)}, "its header asks for"),
        ({"a": entry(0.0, 24.0)}, "whole numbers"),
        ({"a": entry("0", "24")}, "whole numbers"),
        ({"a": entry(True, 24)}, "whole numbers"),
        ({"a": entry(0, 2**70)}, "whole numbers|digits"),
        ({"a": entry(0, 2**62)}, "its header asks for"),
        ({"a": entry(0, 24, shape=[-2, -3])}, "whole numbers"),
        ({"a": entry(0, 24, shape="23")}, "whole numbers"),
        ({"a": entry(0, 24, dtype=3)}, "must have a dtype"),
        ({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 12, 24]}}, "two data_offsets"),
        ({"a": [1]}, "no object"),
        ([1], "no object"),
        (b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "nested too deep"),
        (b'{"a": 1, "a": 2}', "names 'a' twice"),
        (b'{"a": NaN}', "'a' is NaN"),
        (
            b'{"a": ' + b"9" * 5000 + b"}",
            "'a' is 99999999999999999999..., an integer of 5000 digits",
        ),
        (b"\xff\xff", "not UTF-8"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: object, told: str) -> None:
    with pytest.raises(CheckpointError, match=told) as caught:
        read_header(write(tmp_path, header))
    text = str(caught.value)
    assert SINGLE_FILE in text and len(text) < 500 and "\n" not in text


@pytest.mark.timeout(20)
def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """A pipe among the shards, a loop of links, a sparse TiB; config.json as a pipe."""
    folder = write_model(tmp_path / "model")
    config = load_model(folder)
    (folder / SINGLE_FILE).unlink()
    index = {"weight_map": {"model.embed_tokens.weight": "part"}}
    (folder / INDEX_FILE).write_text(json.dumps(index))
    part = folder / "part"
    os.mkfifo(part)
    with pytest.raises(CheckpointError, match="is a pipe"):
        verify(folder, config)
    part.unlink()
    part.symlink_to(part)
    with pytest.raises(CheckpointError, match="symbolic links"):
        verify(folder, config)
    part.unlink()
    with part.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="ask for a header of 0"):
        verify(folder, config)
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(CheckpointError, match="is a pipe"):
        load_model(folder)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(SIZES | {"num_hidden_layers": 10**9}), "num_hidden_layers is 1000000000"),
        (json.dumps(SIZES | {"num_experts": 10**9}), "num_experts is 1000000000"),
        (json.dumps(SIZES | {"hidden_size": 10**18}), "hidden_size is 10000"),
        (
            json.dumps(SIZES | {"hidden_size": 10**30}),
            "'hidden_size' is 1000000000000000000000000000000, an integer of 31",
        ),
        (json.dumps(SIZES | {"rms_norm_eps": float("nan")}), "'rms_norm_eps' is NaN"),
        (json.dumps(SIZES)[:-1] + ', "beta": 1e400}', "'beta' is 1e400"),
        (json.dumps(SIZES)[:-1] + ', "hidden_size": 32}', "names 'hidden_size' twice"),
        ('{"architectures": ' + "[" * 900 + "]" * 900 + "}", "nested too deep"),
        ('{"architectures": ' + "[" * 60 + "]" * 60 + "}", "architectures is"),
        (json.dumps(SIZES | {"eos_token_id": [[[]]]}), "eos_token_id is"),
        ("\0", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_configurations_of_no_model_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_model(tmp_path)
    assert "config.json" in str(caught.value) and len(str(caught.value)) < 400


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_header_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """A right file with some bytes changed, or a random object: nothing but CheckpointError."""
    path = write(tmp_path, {"a": TENSOR, "b": entry(12, 24)})
    raw = bytearray(path.read_bytes())
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=4)
    ):
        raw[place] = byte
    path.write_bytes(
        raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    )
    with suppress(CheckpointError), Checkpoint(tmp_path) as checkpoint:
        for name in ("a", "b"):
            assert checkpoint.read(name, (2, 3)).shape == (2, 3)
    ends = st.integers(-5, 30)
    small = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["BF16", "F32", "X"]),
            "shape": st.lists(ends, max_size=3),
            "data_offsets": st.lists(ends, max_size=3),
        }
    )
    write(tmp_path, data.draw(st.dictionaries(st.text(max_size=2), small, max_size=3)))
    with suppress(CheckpointError):
        found = sorted(
            (e.begin, e.end) for e in read_header(tmp_path / SINGLE_FILE).entries.values()
        )
        assert all(end <= begin for (_, end), (begin, _) in pairwise(found))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(sorted(SIZES)),
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=5,
    ),
)
def test_any_configuration_is_read_or_refused(tmp_path: Path, key: str, value: Any) -> None:
    write_config(tmp_path, SIZES, **{key: value})
    with suppress(CheckpointError):
        load_model(tmp_path)
