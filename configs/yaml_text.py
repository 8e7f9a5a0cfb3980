"""YAML that somebody else wrote, within bounds: depth, nodes, and what aliases blow them up to.

Ten lines can stand for 10^9 values (`b: &b [*a, *a, ...]`), and an alias may lead into itself; both
are counted before anything is built.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from configs.outside import DEPTH_MAX, INTEGER_MAX, Unreadable, shown

# The largest shipped scenario has 150 nodes; a placement of 10,000 experts by hand has twice as
# many. PyYAML reads about 50,000 nodes a second.
NODES_MAX = 20_000


def load_yaml(text: str) -> Any:
    """The one document of a text. Raises Unreadable with line and column."""
    loader = _Bounded(_printable(text))
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, {}, [])
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise Unreadable(f"not valid YAML: {_one_line(error)}") from error
    except Unreadable:
        raise
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        # What PyYAML takes for a date or a number and Python does not.
        raise Unreadable(f"not valid YAML: {_one_line(error)}") from error
    finally:
        loader.dispose()


class _Bounded(yaml.SafeLoader):
    """Also refuses repeated keys, which PyYAML lets win silently."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._depth += 1
        self._nodes += 1
        if self._depth > DEPTH_MAX:
            raise Unreadable(f"line {mark.line + 1} is nested more than {DEPTH_MAX} deep")
        if self._nodes > NODES_MAX:
            raise Unreadable(f"line {mark.line + 1} is value {NODES_MAX + 1}: fewer are read")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        if abs(value) > INTEGER_MAX:
            line = node.start_mark.line + 1
            raise Unreadable(f"line {line} holds {shown(value)}: integers must fit 64 bits")
        return int(value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # PyYAML says so itself
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    "while reading a mapping",
                    node.start_mark,
                    f"key {shown(key)} stands twice",
                    key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Bounded.add_constructor("tag:yaml.org,2002:int", _Bounded.construct_yaml_int)


def _expanded(
    node: yaml.Node, known: dict[int, tuple[int, int]], open_: list[int]
) -> tuple[int, int]:
    """Nodes and levels of a node with its aliases written out. A node's aliases name what stands
    before it, so all of them are known, or are nodes that it stands in.
    """
    line = node.start_mark.line + 1
    if id(node) in open_:
        raise Unreadable(f"line {line} holds an alias of itself")
    if id(node) in known:
        return known[id(node)]
    size, depth = 1, 0
    if isinstance(node, yaml.CollectionNode):
        open_.append(id(node))
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                below, deeper = _expanded(part, known, open_)
                size, depth = size + below, max(depth, deeper)
        open_.pop()
    if size > NODES_MAX or depth >= DEPTH_MAX:
        raise Unreadable(
            f"line {line} stands for {size} values {depth + 1} deep once its aliases are written "
            f"out: at most {NODES_MAX}, {DEPTH_MAX} deep, are read"
        )
    known[id(node)] = size, depth + 1
    return known[id(node)]


def _printable(text: str) -> str:
    """PyYAML's reader names a character by its code, and the place by nothing a person finds."""
    for number, line in enumerate(text.split("\n"), 1):
        if (bad := yaml.reader.Reader.NON_PRINTABLE.search(line)) is not None:
            raise Unreadable(f"line {number} holds the unprintable character {bad.group()!r}")
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
