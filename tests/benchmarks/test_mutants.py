"""Faults are planted where they mean something, in a copy; what tests say of them is believed only
of a copy that works.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="mutants need cosmic-ray, of the extra `dev`")

from benchmarks.mutants.draw import drawn
from benchmarks.mutants.equivalent import Equivalent, Equivalents
from benchmarks.mutants.folders import ROOT
from benchmarks.mutants.noticing import SEARCH_S, Seen, TimedTest, rounds
from benchmarks.mutants.rules import RULES
from benchmarks.mutants.sites import change, places
from benchmarks.mutants.trial import BrokenCopy, check_copy, tried

SOURCE = """\
from typing import Protocol

Number = int | float
SLOW_S = 30
LIMIT = 7


class Seen(Protocol):
    def look(self, at: int = 1) -> int | None: ...


class Box:
    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: int | None = None

    def put(self, more: int | float) -> str:
        assert more > 0, "it grows"
        if more > LIMIT:
            most, least = LIMIT - 1, 0 + 1
            raise ValueError(f"{more + 1} is not from {least} to {most}")
        self.held = more
        self.log(more)
        return f"holds {more * 2}"
"""


def changes(source: str) -> Iterator[tuple[str, str]]:
    for mutants in places("box.py", source).values():
        for mutant in mutants:
            found = change(mutant, source)
            if found is not None:
                yield found.was, found.becomes.replace("  ", " ")


def test_faults_are_planted_in_what_is_done_and_not_in_how_it_is_said() -> None:
    """Of SOURCE there remain a constant, a comparison, an assignment and a call; a type, an
    assertion, an error's words, a protocol and a patience are left out.
    """
    found = set(changes(SOURCE))
    assert {was for was, _ in found} == {
        "LIMIT = 7", "if more > LIMIT:", "self.held = more", "self.log(more)",
    }  # fmt: skip
    assert {becomes for was, becomes in found if was == "LIMIT = 7"} == {"LIMIT = 8", "LIMIT = 6"}
    compared = {becomes for was, becomes in found if was == "if more > LIMIT:"}
    assert {"if more >= LIMIT:", "if not more > LIMIT:"} < compared
    assert ("self.held = more", "pass") in found and ("self.log(more)", "pass") in found


def test_exceptions_whose_names_have_dots_are_replaced_whole() -> None:
    source = "try:\n    f()\nexcept (a.B, C):\n    g()\nexcept a.b.D as e:\n    g()\n"
    becomes = {becomes for was, becomes in changes(source) if was.startswith("except")}
    other = "ExceptionOfNobody"
    assert becomes == {
        f"except ({other}, C):", f"except (a.B, {other}):", f"except {other} as e:",
    }  # fmt: skip


def test_every_rule_has_its_reason_in_the_pages() -> None:
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    assert [name for name in RULES if name not in page] == []


def test_a_mutant_is_known_by_what_it_changes_wherever_that_stands() -> None:
    def keys(source: str) -> set[tuple[str, str, str]]:
        found = places("box.py", source)
        made = [change(mutant, source) for mutants in found.values() for mutant in mutants]
        return {each.key for each in made if each is not None}

    assert keys(SOURCE) == keys("# moved down\n\n" + SOURCE)
    assert ("Box.put", "self.held = more", "pass") in keys(SOURCE)


def test_a_seed_draws_the_same_sample_and_another_one_another() -> None:
    def sample(seed: int) -> list[str]:
        found = islice(drawn(ROOT, seed, "cluster/faults"), 10)
        return [f"{mutant.path}:{mutant.line} {made.becomes}" for mutant, made in found]

    first = sample(1)
    assert first == sample(1) != sample(2)
    assert all(each.startswith("cluster/faults/") for each in first)


def void(entry: Equivalent) -> bool:
    """Whether no mutant of the tree is this one."""
    path = ROOT / entry.path
    if not path.is_file():
        return True
    text = path.read_text(encoding="utf-8")
    key = (entry.function, entry.was, entry.becomes)
    first = entry.was.splitlines()[0].strip() if entry.was else ""
    lines = text.splitlines()
    for (line, _), mutants in places(entry.path, text).items():
        if first and not any(first in each for each in lines[max(0, line - 3) : line + 2]):
            continue
        for mutant in mutants:
            made = change(mutant, text)
            if made is not None and made.key == key:
                return False
    return True


def test_each_explained_mutant_is_one_of_this_tree() -> None:
    """An entry whose lines have changed explains nothing: read the mutant again."""
    entries = Equivalents().all
    assert all(len(entry.why) > 20 for entry in entries), "each says why"
    assert [entry for entry in entries if void(entry)] == []


# -- which tests are asked -------------------------------------------------------------------------


def seen(path: Path, **files: dict[str, list[int]]) -> Seen:
    tests = ["tests/cluster/test_x.py::far", "tests/workers/kv/test_pool.py::near", "tests/y.py::z"]
    written = {"tests": tests, "seconds": [0.1, 9.0, 5.0], "failed": [], "files": files}
    path.write_text(json.dumps(written), encoding="utf-8")
    return Seen(path)


def test_those_that_run_the_line_are_asked_the_nearest_first(tmp_path: Path) -> None:
    path = "workers/kv/pool.py"
    found = seen(tmp_path / "seen", **{path: {"1": [], "5": [0, 1], "6": [2], "7": [0]}})
    names = [test.name for test in found.tests_of(path, range(5, 6))]
    assert names == ["tests/workers/kv/test_pool.py::near", "tests/cluster/test_x.py::far"]
    imported = found.tests_of(path, range(1, 2))
    assert len(imported) == 3, "whoever runs anything of the file may notice"
    assert found.tests_of(path, range(8, 9)) == [], "no test runs it"
    nothing: dict[str, list[int]] = {"1": [], "2": []}
    declared = seen(tmp_path / "seen", **{path: nothing})
    assert len(declared.tests_of(path, range(1, 2))) == 3, "nothing of the file runs: all may"


def test_a_search_has_an_end() -> None:
    """60 tests of 4 s: two in the first round, of 10 s, and 30 in all."""
    tests = [TimedTest(f"t{i}", 4.0) for i in range(60)]
    near, others = rounds(tests)
    assert (len(near), len(near) + len(others)) == (2, SEARCH_S // 4)


# -- a trial ---------------------------------------------------------------------------------------

MODULE = "def double(x):\n    return x * 2\n"
TESTS = """\
from calc import double

def test_two():
    assert double(2) == 4

def test_three():
    assert double(3) == 6
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "calc.py").write_text(MODULE)
    (tmp_path / "test_calc.py").write_text(TESTS)
    return tmp_path


TWO, THREE = TimedTest("test_calc.py::test_two", 0.1), TimedTest("test_calc.py::test_three", 0.1)


def test_a_fault_is_found_by_the_first_test_that_fails_and_taken_back(tree: Path) -> None:
    """2 ** 2 is 2 * 2, but 3 ** 2 is 9."""
    fault = MODULE.replace("*", "**")
    assert tried(tree, "calc.py", fault, [TWO]).found_by == ""
    assert tried(tree, "calc.py", fault, [TWO, THREE]).found_by.startswith(
        "FAILED test_calc.py::test_three"
    )
    assert (tree / "calc.py").read_text() == MODULE
    check_copy(tree, [TWO, THREE])


def test_what_does_not_end_is_found(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.mutants.trial.START_S", 2.0)
    hangs = "def double(x):\n    while True: pass\n"
    assert tried(tree, "calc.py", hangs, [TWO]).found_by == "timeout"


def test_on_a_slow_machine_a_timeout_is_no_finding(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.1 s are not enough to start with, fault or not: both get more until one can tell."""
    monkeypatch.setattr("benchmarks.mutants.trial.START_S", 0.0)
    fault = MODULE.replace("*", "**")
    assert tried(tree, "calc.py", fault, [TWO]).found_by == ""
    assert (tree / "calc.py").read_text() == MODULE


def test_a_copy_in_which_tests_fail_without_a_fault_is_not_believed(tree: Path) -> None:
    (tree / "calc.py").write_text(MODULE.replace("2", "3"))
    with pytest.raises(BrokenCopy, match="test_two"):
        check_copy(tree, [TWO])
    with pytest.raises(BrokenCopy):
        check_copy(tree, [TimedTest("test_calc.py::test_that_is_not_there", 0.1)])
