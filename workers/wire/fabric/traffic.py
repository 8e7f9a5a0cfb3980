"""Classes of traffic: what a message carries, told by the file that its kind stands in."""

from typing import Any

from configs.schema.network import TrafficClass
from workers.wire.kind import Kind

CLASSES: tuple[TrafficClass, ...] = ("experts", "collectives", "kv", "retrieval", "rest")
_OF_FILE: dict[str, TrafficClass] = {
    "workers.wire.kinds.experts": "experts",
    "workers.wire.kinds.switched": "experts",
    "workers.wire.kinds.collectives": "collectives",
    "workers.wire.kinds.ranks": "collectives",
    "workers.wire.kinds.kv": "kv",
    "workers.wire.kinds.near": "kv",
    "workers.wire.kinds.memory": "retrieval",
    "workers.wire.kinds.shipping": "retrieval",
}


# Between ranks of two chips, and no part of a step.
_OF_KIND: dict[str, TrafficClass] = {
    "expect_kv": "kv", "kv_send": "kv", "kv_part": "kv",
}  # fmt: skip
_KNOWN: dict[type[Any], int] = {}


def class_of(content: Kind[Any]) -> int:
    """Its place in CLASSES. What is in no such file, plain answers among them, is `rest`."""
    kind = type(content)
    known = _KNOWN.get(kind)
    if known is None:
        known = _KNOWN[kind] = CLASSES.index(_traffic(kind))
    return known


def _traffic(kind: type[Kind[Any]]) -> TrafficClass:
    return _OF_KIND.get(kind.kind) or _OF_FILE.get(kind.__module__, "rest")
