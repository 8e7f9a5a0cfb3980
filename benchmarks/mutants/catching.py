"""An operator that cosmic-ray lacks where names have dots: another exception is caught."""

from collections.abc import Iterator, Sequence
from typing import Any

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name

# Bound nowhere: whoever gets as far as this handler finds out.
FOREIGN = "ExceptionOfNobody"


class CatchAnother(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """`except asyncio.CancelledError:` is a tree where cosmic-ray expects a leaf, and fails."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type == "except_clause":
            yield from ((caught.start_pos, caught.end_pos) for caught in _caught(node))

    def mutate(self, node: Any, index: int) -> Any:
        caught = _caught(node)[index]
        leaf = caught.get_first_leaf()
        siblings = caught.parent.children
        siblings[siblings.index(caught)] = Name(FOREIGN, leaf.start_pos, leaf.prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        before, after = "try: f()\nexcept ", ": pass"
        return (
            Example(f"{before}OSError{after}", f"{before}{FOREIGN}{after}"),
            Example(f"{before}a.b.C as e{after}", f"{before}{FOREIGN} as e{after}"),
            Example(f"{before}(A, b.C){after}", f"{before}(A, {FOREIGN}){after}", occurrence=1),
        )


def _caught(clause: Any) -> Sequence[Any]:
    """The exceptions of `except X`, `except (X)` and `except (X, y.Z)`."""
    named = clause.children[1]
    if named.type != "atom":
        return (named,)
    inside = named.children[1]
    if inside.type != "testlist_comp":
        return (inside,)
    return [child for child in inside.children if child.type != "operator"]
