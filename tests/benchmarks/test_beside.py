"""Two trees are measured by one driver: the right code runs, ratios are right, nothing is left."""

from pathlib import Path

import pytest

from benchmarks.beside import tree
from benchmarks.beside.pairs import Pairs, in_turn, missing_row, run_child
from benchmarks.beside.stopwatch import Stopwatch
from benchmarks.beside.tree import ROOT, NoEarlierTree, earlier_tree

MEASURE = "benchmarks.events.load"


def test_ratio_is_of_the_medians():
    """Medians 30 and 10; the ratio of the means would be 4."""
    pairs = Pairs([30, 90, 30], [10, 15, 10])
    assert pairs.ratio == 3
    assert pairs.spread() == "3 pairs, 3.00 .. 6.00"


def test_sides_take_turns():
    order = []

    def once(side):
        order.append(side)
        return {"run": len(order)}

    assert in_turn(once, ("a", "b"), 2) == [[{"run": 1}, {"run": 3}], [{"run": 2}, {"run": 4}]]
    assert order == ["a", "b", "a", "b"]


def test_a_commit_that_the_history_lacks_is_said_so(monkeypatch):
    monkeypatch.setattr(tree, "COMMIT", "0" * 40)
    with (
        pytest.raises(NoEarlierTree, match=r"history lacks 0{40}"),
        earlier_tree(None, native=False),
    ):
        pytest.fail("there is no such tree")
    row = missing_row("events", "this repository's history lacks it")
    assert row.holds and row.value == "left out" and "lacks it" in row.evidence


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path):
    with (
        pytest.raises(ValueError, match="must be a checkout"),
        earlier_tree(tmp_path, native=False),
    ):
        pytest.fail("there is no such tree")


def test_the_tree_taken_from_the_history_is_gone_afterwards():
    try:
        with earlier_tree(None, native=False) as folder:
            assert (folder / "workers" / "exchange.py").is_file()
    except NoEarlierTree as error:
        pytest.skip(str(error))
    assert not folder.exists()


def test_the_code_of_another_tree_is_not_measured_unnoticed(tmp_path: Path):
    """Nothing is in this tree, so that whatever else is installed is found, or nothing."""
    with pytest.raises(RuntimeError, match=r"ImportError|ModuleNotFoundError"):
        run_child(tmp_path, MEASURE, {"adapter": "this_tree", "layers": 1})


def test_both_trees_do_the_same_work():
    """All dispatches and combines of a layer on 32 chips and 32 shards: 2 x 32 x 32."""
    this = run_child(ROOT, MEASURE, {"adapter": "this_tree", "layers": 1})
    assert this["events"] == 2048
    assert this["cpu_s"] > 0
    try:
        with earlier_tree(None, native=False) as folder:
            earlier = run_child(folder, MEASURE, {"adapter": "commit_086191e", "layers": 1})
    except NoEarlierTree as error:
        pytest.skip(str(error))
    assert earlier["events"] == 2048


def test_a_stopwatch_tells_what_its_block_took_and_which_functions():
    with Stopwatch(profile=True) as stopwatch:
        sorted(range(1000))
    result = stopwatch.result()
    assert result["cpu_s"] > 0 and result["wall_s"] > 0
    assert "sorted" in result["profile"]
