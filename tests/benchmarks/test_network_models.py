"""Models beside published figures: what the benchmark says, and when it says no."""

import json
from pathlib import Path

import pytest

from benchmarks.network import models
from configs.model_presets import model_names, model_preset


def test_all_published_figures_agree() -> None:
    rows = list(models.figures())
    assert [row.name for row in rows if not row.holds] == []
    assert set(models.REVIEWED) <= {row.name for row in rows} <= {*model_names(), rows[-1].name}


def test_a_wrong_figure_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.REVIEWED, "kimi-k2", ("1027", "32.9", "70272"))
    held = {row.name: row.holds for row in models.figures()}
    assert not held.pop("kimi-k2")
    assert [name for name, holds in held.items() if not holds] == [list(held)[-1]]


def test_files_are_planned_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gpt-oss-20b", "llama-3.1-405b"):
        values = json.dumps(model_preset(name).config)
        (tmp_path / f"{name}.json").write_text(values, encoding="utf-8")
    (tmp_path / "other.json").write_text('{"architectures": ["Other"]}', encoding="utf-8")
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    *each, whole = models.files()
    assert [row.holds for row in each] == [True, True, True]
    assert "TP 1 x PP 1" in str(each[0].value)
    assert str(each[2].value).startswith("refused: architectures is ['Other']")
    assert (whole.value, whole.holds) == (2.0, False)  # too few of them


def test_without_files_a_row_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    (row,) = models.files()
    assert row.holds and row.value == "not here"


@pytest.mark.skipif(not list(models.FOLDER.glob("*.json")), reason="no published files here")
def test_published_files() -> None:
    rows = list(models.files())
    assert [f"{row.name}: {row.value}" for row in rows if not row.holds] == []
    assert rows[-1].value == 97.0
