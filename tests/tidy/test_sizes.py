"""How long a file or a function may be."""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.tidy.files import FOLDERS, Places, lines, none_of, sources, tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Ratchets: what is longer than the limit, with its length today. An entry may only shrink, and goes
# once the limit is met; nothing may be added.
LONG_FILES = {"tests/workers/chip/test_scheduler.py": 845, "workers/chip/scheduler.py": 534}
LONG_FUNCTIONS: dict[str, int] = {}


def functions_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """(qualified name, lines) of each function; a nested one counts in its parent as well."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name, (child.end_lineno or child.lineno) - child.lineno + 1
            name += "."
        yield from functions_in(child, name)


def ratchet(lengths: dict[str, int], limit: int, known: dict[str, int]) -> Places:
    """What is over the limit and was not known, and known entries that are out of date."""
    over = {name: length for name, length in lengths.items() if length > limit}
    grown = [
        f"{name}: {length} lines, at most {known.get(name, limit)}"
        for name, length in over.items()
        if length > known.get(name, limit)
    ]
    shrunk = [
        f"{name}: {over.get(name, 'within the limit')} by now, {length} in the ratchet: lower it"
        for name, length in known.items()
        if over.get(name, 0) < length
    ]
    return grown + shrunk


def test_functions_are_short() -> None:
    lengths = {
        f"{path}::{name}": length
        for path in sources()
        for name, length in functions_in(tree(path), "")
    }
    none_of(ratchet(lengths, FUNCTION_LINES_MAX, LONG_FUNCTIONS), "Split by decision:")


def test_files_are_short() -> None:
    lengths = {path: len(lines(path)) for path in sources()}
    none_of(ratchet(lengths, FILE_LINES_MAX, LONG_FILES), "One file, one decision:")


def test_ratchet_only_shrinks() -> None:
    assert ratchet({"a": 70}, 60, {"a": 70}) == []
    assert ratchet({"a": 71}, 60, {"a": 70}) == ["a: 71 lines, at most 70"]
    assert ratchet({"a": 61}, 60, {}) == ["a: 61 lines, at most 60"]
    assert "lower it" in ratchet({"a": 65}, 60, {"a": 70})[0]
    assert "within the limit" in ratchet({"a": 60}, 60, {"a": 70})[0]


def test_lines_per_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a rule but a number that should be looked at: how large each part has become."""
    count = Counter[str]()
    for path in sources():
        count[path.split("/")[0]] += len(lines(path))
    with capsys.disabled():
        print("\nlines:", ", ".join(f"{folder} {count[folder]:,}" for folder in FOLDERS))
    assert all(count[folder] for folder in FOLDERS)
