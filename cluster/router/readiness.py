"""Whether a cluster could answer anybody now. Pure."""

from collections.abc import Iterable

from cluster.router.machine.chips import ChipState
from cluster.router.machine.placement import missing_role


def lacking(chips: Iterable[ChipState], dead_shards: Iterable[str]) -> str:
    """What no request can do without and nobody has, in words; "" if nothing is missing.

    dead_shards   those that alone hold some expert of every layer
    """
    role = missing_role(chips)
    if role is not None:
        return f"no {role} chip lives"
    gone = sorted(dead_shards)
    if gone:
        return f"the experts of {', '.join(gone)} are nowhere else"
    return ""
