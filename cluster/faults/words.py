"""Which messages a fault can name: every kind that workers tell each other."""

from collections.abc import Iterator
from typing import Any, get_type_hints

from cluster.api import embedding, store_kinds
from cluster.api import kinds as api
from workers.wire.kind import Failed, Kind, Reply
from workers.wire.kinds import (
    chip,
    collectives,
    experts,
    kv,
    memory,
    near,
    ranks,
    shipping,
    switched,
    there,
)

# Hits every answer to a call, whatever it says; an answer's own kind hits that alone.
ANSWER = Reply.kind


def kind_words() -> tuple[str, ...]:
    """All kinds, in alphabetical order."""
    return tuple(sorted({Reply.kind, Failed.kind, *(kind.kind for kind in _kinds())}))


def kinds_with_a_layer() -> tuple[str, ...]:
    """Those of which each is about one layer of the model."""
    return tuple(sorted({kind.kind for kind in _kinds() if "layer" in get_type_hints(kind)}))


def _kinds() -> Iterator[type[Kind[Any]]]:
    for module in (
        api,
        embedding,
        store_kinds,
        chip,
        collectives,
        experts,
        kv,
        memory,
        near,
        ranks,
        shipping,
        switched,
        there,
    ):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Kind) and hasattr(value, "kind"):
                yield value
