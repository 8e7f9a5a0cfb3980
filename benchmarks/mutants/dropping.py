"""An operator that cosmic-ray lacks: a statement that is not there."""

from collections.abc import Iterator
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.operators.operator import Example, Operator

CALLS = ("atom_expr", "del_stmt")

Place = tuple[tuple[int, int], tuple[int, int]]


class DropStatement(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """`pass` in the place of a call, a `del`, or an assignment to what is there already. Without
    its first assignment a name fails wherever it is read, and no test is needed to see that.
    """

    def mutation_positions(self, node: Any) -> Iterator[Place]:
        if node.type != "simple_stmt":
            return
        statement = node.children[0]
        if statement.type in CALLS or (statement.type == "expr_stmt" and _changes(statement)):
            yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        dropped = node.children[0]
        node.children[0] = get_ast(f"{dropped.get_first_leaf().prefix}pass")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(x)\n", "pass\n"), Example("a.x += 1\n", "pass\n"))


def _changes(statement: Any) -> bool:
    target, operation = statement.children[:2]
    if operation.type == "annassign":
        return False
    function = statement.search_ancestor("funcdef")
    if function is not None and function.name.value == "__init__":
        return False
    return bool(operation != "=" or target.type == "atom_expr")
