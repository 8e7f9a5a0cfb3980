"""A part that breaks is named, and costs nothing of the others."""

import json
from pathlib import Path

import pytest

from benchmarks.parts import report_parts
from benchmarks.rows import Row


def row(name: str, *, holds: bool = True) -> list[Row]:
    return [Row(name, 1, "s", "<= 2 s", holds, "measured: here")]


def breaks() -> list[Row]:
    raise RuntimeError("the machine went away")


def test_rows_of_the_others_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"one": lambda: row("first"), "two": breaks, "three": lambda: row("last")}
    assert report_parts(parts, tmp_path / "rows.json", "Parts") == 1
    kept = json.loads((tmp_path / "rows.json").read_text())
    assert [each["name"] for each in kept] == ["first", "last"]
    said = capsys.readouterr().err
    assert "the machine went away" in said and "no figures of two: see above" in said


def test_without_one_that_breaks_the_rows_decide(tmp_path: Path) -> None:
    assert report_parts({"one": lambda: row("a")}, None, "Parts") == 0
    assert report_parts({"one": lambda: row("a", holds=False)}, None, "Parts") == 1
