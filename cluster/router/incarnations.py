"""Which incarnation of a chip lives, as far as this node knows.

A chip of several ranks serves while a node lives for each of them: what it holds of a sequence lies
on all, so with one of them everything is lost. Its incarnation is the sum of theirs, which rises
whenever one of them is replaced; of one rank, it is the node's.
"""

from configs.schema.nodes import is_rank_of
from workers.wire.membership import Membership


def nodes_of(members: Membership, chip: str) -> list[str]:
    """Where its leader and its other ranks stand; none if there is no such chip."""
    directory = members.directory
    if chip not in directory:
        return []
    return [
        node for worker, node in directory.items() if worker == chip or is_rank_of(worker, chip)
    ]


def living(members: Membership, chip: str) -> int | None:
    """The incarnation that lives; None while a rank is away, or there is no such chip."""
    found = [members.member(node) for node in nodes_of(members, chip)]
    lives = [member.epoch for member in found if member is not None]
    return sum(lives) if lives and len(lives) == len(found) else None
