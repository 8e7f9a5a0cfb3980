"""Which messages a fault can name: every kind that workers tell each other."""

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
)

# Hits every answer to a call, whatever it says; an answer's own kind hits that alone.
ANSWER = Reply.kind


def kind_words() -> tuple[str, ...]:
    """All kinds, in alphabetical order."""
    found = {Reply.kind, Failed.kind}
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
    ):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Kind) and hasattr(value, "kind"):
                found.add(value.kind)
    return tuple(sorted(found))
