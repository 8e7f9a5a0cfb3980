"""Which mutants are left out by rule, because they change nothing that a test could promise."""

import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from typing import Any

# Equal or the same object: they differ only for objects with an equality of their own.
SAMENESS = re.compile(r"ReplaceComparisonOperator_(Eq_Is|NotEq_IsNot|Is_Eq|IsNot_NotEq)")
# Names, brackets and bars alone.
ALIAS = re.compile(r"[A-Z]\w*[a-z]\w* = [\w.\[\](), \n]+(\|[\w.\[\](), \n]+)+")
# A bound of a memory or the scale of a unit; one more or one less is the same choice. So it is of
# a constant that says how long or how many at most.
LARGE = 100
CHOICE = re.compile(r"[A-Z_]+_(S|NS|MAX|MIN|SHARE) = ")
MARKERS = re.compile(r"@(abstractmethod|override|overload|runtime_checkable|hookimpl)\b")

Rule = Callable[[Any, str], bool]


def left_out(node: Any, operator: str) -> str:
    """Why this operator is not applied at this node of a parso tree; "" if it is."""
    return next((name for name, holds in RULES.items() if holds(node, operator)), "")


def _above(node: Any) -> Iterator[tuple[Any, Any]]:
    """(parent, child of it that leads to the node), upwards; the node itself is the first child."""
    while node.parent is not None:
        yield node.parent, node
        node = node.parent


def _is_annotation(node: Any, _: str) -> bool:
    """Of a variable, a parameter or what a function returns."""
    for parent, child in _above(node):
        if parent.type in ("annassign", "tfpdef") and child is parent.children[1:][-1:][0]:
            return parent.type == "tfpdef" or len(parent.children) == 2
        if parent.type == "annassign" and child is parent.children[1]:
            return True
        if parent.type == "funcdef" and child is parent.annotation:
            return True
    return False


def _is_alias(node: Any, _: str) -> bool:
    """`Number = int | float`, at the top of a module."""
    statement = next((p for p, _ in _above(node) if p.type == "expr_stmt"), None)
    if statement is None or statement.parent.parent.type != "file_input":
        return False
    return ALIAS.fullmatch(_code(statement)) is not None


def _is_invariant(node: Any, _: str) -> bool:
    """`assert` says what cannot be otherwise."""
    return any(each.type == "assert_stmt" for each in (node, *(p for p, _ in _above(node))))


def _is_wording(node: Any, _: str) -> bool:
    """What a string shows, and what an error says: the arguments of what is raised, and the names
    that the line before gives to parts of it.
    """
    for parent, child in _above(node):
        if parent.type in ("fstring", "strings"):
            return True
        if parent.type == "simple_stmt" and _names_words(parent):
            return True
        if parent.type == "raise_stmt" and child is not parent.children[0]:
            return True
    return False


def _names_words(statement: Any) -> bool:
    first, following = statement.children[0], statement.get_next_sibling()
    if first.type != "expr_stmt" or following is None or following.type != "simple_stmt":
        return False
    return following.children[0].type == "raise_stmt" and first.children[0].type in (
        "name", "testlist_star_expr",
    )  # fmt: skip


def _is_typing(node: Any, _: str) -> bool:
    """Blocks for type checkers alone, and protocols, whose methods are never run."""
    for parent, _child in _above(node):
        if parent.type == "if_stmt" and _code(parent.children[1]) == "TYPE_CHECKING":
            return True
        if parent.type == "classdef":
            bases = parent.get_super_arglist()
            if bases is not None and re.search(r"\bProtocol\b", _code(bases)):
                return True
    return False


def _is_form(node: Any, operator: str) -> bool:
    """`slots=True` and `frozen=True` of a dataclass, `__slots__`, type variables, markers, the
    star before parameters that have to be named.
    """
    if node.parent is not None and node.parent.type in ("parameters", "param"):
        return bool(node.type == "operator")
    if operator == "RemoveDecorator" and MARKERS.match(_code(node)):
        return True
    decorator = next((p for p, _ in _above(node) if p.type == "decorator"), None)
    if decorator is not None and _code(decorator).startswith("@dataclass"):
        return True
    statement = next((p for p, _ in _above(node) if p.type == "expr_stmt"), node)
    return re.match(r"__slots__ =|\w+ = (TypeVar|ParamSpec)\(", _code(statement)) is not None


def _is_sameness(_: Any, operator: str) -> bool:
    return SAMENESS.fullmatch(operator) is not None


def _is_choice(node: Any, operator: str) -> bool:
    """A bound of a memory, or 10^9: a number of 100 or more, moved by one. A patience, too."""
    if operator != "NumberReplacer":
        return False
    statement = next((p for p, _ in _above(node) if p.type == "expr_stmt"), None)
    is_named = statement is not None and CHOICE.match(_code(statement)) is not None
    return bool(abs(literal_eval(node.value)) >= (2 if is_named else LARGE))


def _is_worked_out(node: Any, operator: str) -> bool:
    """The -1 of a reshape: numpy takes any negative number for the size that it works out."""
    factor = node if node.type == "factor" else node.parent
    if factor is None or factor.type != "factor" or _code(factor) != "-1":
        return False
    if operator not in ("NumberReplacer", "ReplaceUnaryOperator_USub_Invert"):
        return False
    arguments = next((p for p, _ in _above(factor) if p.type == "trailer"), None)
    called = None if arguments is None else arguments.get_previous_sibling()
    return called is not None and _code(called) == ".reshape"


def _code(node: Any) -> str:
    code: str = node.get_code(include_prefix=False)
    return code.strip()


RULES: dict[str, Rule] = {
    "type annotation": _is_annotation,
    "type alias": _is_alias,
    "assert": _is_invariant,
    "wording": _is_wording,
    "for type checkers": _is_typing,
    "form of a class": _is_form,
    "equal or the same object": _is_sameness,
    "choice moved by one": _is_choice,
    "size that numpy works out": _is_worked_out,
}
