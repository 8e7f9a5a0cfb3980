"""Law 5: an approximate token is flagged, where it is allowed at all, and so is all that follows
from it.
"""

from collections.abc import Iterator, Sequence

from cluster.chaos.heard import Heard

LAW = "honest"


def broken(heard: Sequence[Heard], *, is_allowed: bool) -> Iterator[str]:
    """is_allowed   whether the scenario lets shares be replaced"""
    for one in heard:
        if not one.approximate:
            continue
        first = min(one.approximate)
        if not is_allowed:
            yield f"{LAW}: {one.asked} is flagged from position {first} on, and nothing allows it"
        silent = [i for i in range(first, len(one.tokens)) if i not in one.approximate]
        if silent:
            yield f"{LAW}: {one.asked} is flagged at {first}, and not at {silent[0]} behind it"
        beyond = [i for i in sorted(one.approximate) if i >= len(one.tokens)]
        if beyond:
            yield f"{LAW}: {one.asked} is flagged at {beyond[0]}, of {len(one.tokens)} tokens"
