"""Every place of a file at which a fault can be planted, and what is planted there."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

from benchmarks.mutants.catching import CatchAnother
from benchmarks.mutants.dropping import DropStatement
from benchmarks.mutants.folders import FOLDERS
from benchmarks.mutants.rules import left_out

# They need to be told which variables, so they are no operators of their own accord; and one of
# cosmic-ray's fails where an exception's name has dots: ours is in its place.
NOT_TAKEN = ("VariableReplacer", "VariableInserter", "ExceptionReplacer")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: `operator` at its `occurrence`-th place in the file."""

    path: str
    operator: str
    occurrence: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutant makes of its file. A mutant is known by `key`, which outlives edits elsewhere.

    function   dotted, with its classes; "" at the top of a module
    was, is_   the lines that differ, without their indentation
    lines      numbers of the lines of the statement that was changed, in the file as it is
    """

    text: str
    function: str
    was: str
    becomes: str
    lines: range

    @property
    def key(self) -> tuple[str, str, str]:
        return self.function, self.was, self.becomes


@cache
def operators() -> Mapping[str, Operator]:
    provider = OperatorProvider()
    ours = {"DropStatement": DropStatement(), "CatchAnother": CatchAnother()}
    return {name: provider[name]() for name in provider if name not in NOT_TAKEN} | ours


def source_files(root: Path) -> list[str]:
    """All that can be mutated, from the root."""
    paths = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    return [str(path.relative_to(root)) for path in paths]


def places(path: str, text: str) -> dict[tuple[int, int], list[Mutant]]:
    """(line, column) -> what can be planted there; what is left out by rule is not in it."""
    found: dict[tuple[int, int], list[Mutant]] = defaultdict(list)
    nodes = list(ast_nodes(get_ast(text)))
    for name, operator in operators().items():
        occurrence = 0
        for node in _candidates(name, nodes):
            for start, _end in operator.mutation_positions(node):
                at = _node_at(node, start)
                if not left_out(at, name):
                    line, column = start
                    found[start].append(Mutant(path, name, occurrence, line, column))
                occurrence += 1
    return found


def _candidates(operator: str, nodes: Sequence[Any]) -> Iterator[Any]:
    """A hundred operators look at each node: those that cannot mean it are spared the look."""
    wanted = {"ReplaceBinary": "operator", "ReplaceComparison": "comparison"}
    kind = next((kind for start, kind in wanted.items() if operator.startswith(start)), None)
    return (node for node in nodes if kind is None or node.type == kind)


def _node_at(node: Any, start: tuple[int, int]) -> Any:
    """The part of the node that is changed, for the rules to look at."""
    if node.type == "simple_stmt":
        return node.children[0]
    if node.start_pos == start:
        return node
    return node.get_leaf_for_position(start) or node


def change(mutant: Mutant, text: str) -> Change | None:
    """None if it is no fault: it does not compile, or means the same."""
    mutated = mutate_code(text, operators()[mutant.operator], mutant.occurrence)
    if mutated is None:
        return None
    try:
        before, after = ast.parse(text), ast.parse(mutated)
    except SyntaxError:
        return None
    if ast.dump(before) == ast.dump(after):
        return None
    was, becomes = _difference(text.splitlines(), mutated.splitlines())
    function, lines = _around(before, mutant.line)
    return Change(mutated, function, was, becomes, lines)


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    blocks = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    was = [line.strip() for _, low, high, _, _ in blocks for line in before[low:high]]
    becomes = [line.strip() for _, _, _, low, high in blocks for line in after[low:high]]
    return "\n".join(was), "\n".join(becomes)


def _around(tree: ast.Module, line: int) -> tuple[str, range]:
    """The function that a line is in, and the lines of the smallest statement around it (of one
    that holds others, its head).
    """
    names: list[str] = []
    lines = range(line, line + 1)
    node: ast.AST = tree
    while True:
        inside = [
            child
            for child in ast.walk(node)
            if child is not node and isinstance(child, ast.stmt | ast.excepthandler)
            if _first(child) <= line <= (child.end_lineno or child.lineno)
        ]
        if not inside:
            return ".".join(names), lines
        node = inside[0]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        lines = range(_first(node), max(last, _first(node)) + 1)


def _first(node: ast.stmt | ast.excepthandler) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])
