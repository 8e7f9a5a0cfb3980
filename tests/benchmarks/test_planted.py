"""Planted bugs stay plantable: each patch still applies to the tree, and says what is wrong."""

from pathlib import Path

import pytest

from benchmarks.chaos.planted import FOUND, Patch, applies, patches, planted, row
from benchmarks.mutants.folders import ROOT

LEAST = 25


def test_there_are_enough() -> None:
    assert len(patches()) >= LEAST


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.name)
def test_it_applies(patch: Patch) -> None:
    assert applies(patch, ROOT) == ""
    assert patch.path.read_text().startswith("# ")
    assert len(patch.what) > 20


def test_what_does_not_apply_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="does not apply: "),
        planted(patches()[0], tmp_path),
    ):
        pass


def test_it_is_in_the_tree_and_out_again(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    patch = tmp_path / "p.patch"
    patch.write_text("# two\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")
    with planted(Patch(patch), tmp_path):
        assert (tmp_path / "a.py").read_text() == "x = 2\n"
    assert (tmp_path / "a.py").read_text() == "x = 1\n"


def test_a_search_that_fails_to_run_has_found_nothing() -> None:
    patch = patches()[0]
    assert row(patch, FOUND, "64 trials: 1 broken (exact 1): 3").holds
    assert not row(patch, FOUND, "ImportError: x").holds
    assert not row(patch, 0, "200 trials: no law broken").holds
    assert not row(patch, None, "it took too long").holds


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(ValueError, match="--only x: must be one of ack-forgotten, "):
        patches(["x"])
