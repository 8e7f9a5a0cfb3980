"""Bytes of others: each hostile one is answered by one clear line, soon and in little memory."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.outside import (
    DEPTH_MAX,
    LINE_BYTES_MAX,
    MIB,
    Unreadable,
    load_json,
    read_file,
    read_text,
    shown,
    text_lines,
)
from configs.presets import read_mapping
from configs.units import BANDWIDTH, DURATION, POWER
from configs.yaml_text import NODES_MAX, load_yaml

DEEP = 900


def hostile_files(folder: Path) -> dict[str, Path]:
    """One of each kind that is no regular file, or has no end."""
    made = {name: folder / name for name in ("fifo", "socket", "folder", "loop", "sparse", "\0")}
    os.mkfifo(made["fifo"])
    made["folder"].mkdir()
    made["loop"].symlink_to(made["loop"])
    with made["sparse"].open("wb") as file:
        file.truncate(1 << 40)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(made["socket"]))
    return made | {"zero": Path("/dev/zero"), "tty": Path("/dev/tty")}


@pytest.mark.timeout(20)
def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    """A pipe is not waited for, /dev/zero not followed, a sparse TiB not held in memory."""
    for name, path in hostile_files(tmp_path).items():
        with pytest.raises(Unreadable) as told:
            read_file(path, MIB)
        assert "\n" not in str(told.value), name
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", MIB)


def test_a_file_at_the_bound_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == b"x" * 100
    with pytest.raises(Unreadable, match="has 100 bytes: at most 99"):
        read_file(path, 99)
    # /proc's files say that they are empty.
    with pytest.raises(Unreadable, match="more than 10 bytes"):
        read_file(Path("/proc/self/status"), 10)


def test_text_must_be_utf8_and_lines_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"good\nb\xffd\n")
    with pytest.raises(Unreadable, match="not UTF-8 text at byte 6"):
        read_text(path, MIB)
    with pytest.raises(Unreadable, match="file:2: is not UTF-8 text at byte 1"):
        list(text_lines(path, MIB))
    path.write_bytes(b"x" * (LINE_BYTES_MAX + 1))
    with pytest.raises(Unreadable, match="file:1: is longer than"):
        list(text_lines(path, 2 * MIB))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * DEEP + "]" * DEEP, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "nested too deep"),
        ("NaN", "holds NaN"),
        ("[-Infinity]", "holds -Infinity"),
        ("1e400", "holds 1e400"),
        ("9" * 5000, "integer of 5000 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "names 'a' twice"),
        ("{", "not JSON"),
        (b'"\xff"', "not UTF-8"),
        ("", "not JSON"),
    ],
)
def test_json_is_bounded(text: str | bytes, told: str) -> None:
    with pytest.raises(Unreadable, match=told) as raised:
        load_json(text)
    assert len(str(raised.value)) < 200


def test_json_within_the_bounds_is_what_it_says() -> None:
    deepest = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    value: Any = load_json(deepest)
    for _ in range(DEPTH_MAX - 1):
        (value,) = value
    assert value == []
    assert load_json('{"a": [1, -2.5e3, "x", null, true]}') == {"a": [1, -2500.0, "x", None, True]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * DEEP, "nested more than"),
        ("a: " + "{b: " * 300, "nested more than"),
        ("\n".join(" " * i + "a:" for i in range(300)), "nested more than"),
        ("- " * 300, "nested more than"),
        ("a: &a [*a]", "alias of itself"),
        ("a: &a {<<: *a}", "alias of itself"),
        (f"[{'1,' * NODES_MAX}]", f"value {NODES_MAX + 1}"),
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: 2001-99-99", "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: " + "9" * 30, "must fit 64 bits"),
        ("a: 0x" + "f" * 5000, "must fit 64 bits"),
        ("? [1, 2]\n: 3", "not valid YAML"),
        ("a: \0", "unprintable"),
        ("a: !!python/object/apply:os.getpid []", "not valid YAML"),
        ("a: *b", "not valid YAML"),
        ("a: !!int x", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
    ],
)
@pytest.mark.timeout(20)
def test_yaml_is_bounded(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told) as raised:
        load_yaml(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("merged", ["[{0}]", "{{<<: [{0}]}}"])
@pytest.mark.timeout(20)
def test_aliases_count_for_what_they_stand_for(merged: str) -> None:
    """Ten to the eighth values from nine lines, as lists and as merged keys."""
    lines = ["a0: &a0 {x: 1}"]
    for i in range(1, 9):
        same = ", ".join([f"*a{i - 1}"] * 10)
        lines.append(f"a{i}: &a{i} " + merged.format(same))
    with pytest.raises(Unreadable, match="once its aliases are written out"):
        load_yaml("\n".join(lines))
    assert load_yaml("a: &a [1, 2]\nb: *a") == {"a": [1, 2], "b": [1, 2]}


def test_a_scenario_that_is_a_pipe_or_binary_is_named(tmp_path: Path) -> None:
    for name, path in hostile_files(tmp_path).items():
        if name not in ("\0", "zero", "tty"):
            with pytest.raises(ValueError, match=name):
                read_mapping(path)
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\x80\x81")
    with pytest.raises(ValueError, match=r"s\.yaml: is not UTF-8"):
        read_mapping(path)


@pytest.mark.parametrize(
    "text",
    [
        "1e99999999 us",
        "1e-99999999 us",
        "9" * 100 + " s",
        "1e0000000000009 s",
        "1e300 s",
        "1e19 ns",
    ],
)
@pytest.mark.timeout(20)
def test_a_quantity_beyond_all_measure_is_refused_at_once(text: str) -> None:
    for quantity in (DURATION,):
        with pytest.raises(ValueError, match=r"too large|out of range|whole number"):
            quantity.parse(text)


def test_quantities_from_code_are_finite() -> None:
    for quantity in (BANDWIDTH, POWER):
        for value in (float("nan"), float("inf"), 10**400):
            with pytest.raises(ValueError, match=r"not finite|too large"):
                quantity.accept(value, in_text=False)


def test_anything_can_be_shown() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000, "x" * 10**6, {"a": deep}, b"\xff" * 10**6, [10**5000], "\ud800"):
        assert len(shown(value).encode()) < 300


def refusal(read: Callable[[str], object], text: str) -> str | None:
    try:
        read(text)
    except ValueError as error:
        return str(error)
    return None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@settings(max_examples=300)
@given(text=st.text(max_size=60) | st.text('[]{}",:0123e+-.naN tru&*<?!|>\n', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (load_json, load_yaml, DURATION.parse, POWER.parse):
        said = refusal(read, text)
        assert said is None or (said and "\n" not in said)


@settings(max_examples=100)
@given(value=ANY_JSON)
def test_yaml_reads_what_it_wrote(value: Any) -> None:
    text = yaml.safe_dump({"v": value})
    said = refusal(load_yaml, text)
    assert said is None or "64 bits" in said or "unprintable" in said


def test_a_growing_file_is_cut_at_the_bound(tmp_path: Path) -> None:
    path, stop = tmp_path / "log", threading.Event()
    path.write_bytes(b"")

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for _ in range(1000):
                file.write(b"y" * 1000)
                if stop.is_set():
                    return

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for _ in range(50):
            try:
                assert len(read_file(path, 5000)) <= 5000
            except Unreadable:
                break
    finally:
        stop.set()
        writer.join()
