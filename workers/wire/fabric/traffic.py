"""Classes of traffic: what a message carries, told by the file that its kind stands in."""

from typing import Any

from configs.schema.network import TrafficClass
from workers.wire.kind import Kind

CLASSES: tuple[TrafficClass, ...] = ("experts", "collectives", "kv", "retrieval", "rest")
_OF_FILE: dict[str, TrafficClass] = {
    "workers.wire.kinds.experts": "experts",
    "workers.wire.kinds.collectives": "collectives",
    "workers.wire.kinds.kv": "kv",
    "workers.wire.kinds.near": "kv",
    "workers.wire.kinds.memory": "retrieval",
    "workers.wire.kinds.shipping": "retrieval",
}


_KNOWN: dict[type[Any], int] = {}


def class_of(content: Kind[Any]) -> int:
    """Its place in CLASSES. What is in no such file, plain answers among them, is `rest`."""
    kind = type(content)
    known = _KNOWN.get(kind)
    if known is None:
        known = _KNOWN[kind] = CLASSES.index(_OF_FILE.get(kind.__module__, "rest"))
    return known
