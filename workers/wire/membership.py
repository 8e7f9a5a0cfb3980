"""Which incarnation of each node lives, as one node knows it.

A node that fails leaves; when it comes back it joins again under the next epoch. Every table that
remembers a peer is keyed by node and epoch, so nothing that was said by or to the one is taken for
the other's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from configs.schema.link import LinkSpec
from workers.errors import PeerDead


@dataclass(frozen=True, slots=True)
class Member:
    """One incarnation of a node.

    link      its way into the network        address   where its wire is reached
    ranks     where its rank of an all-to-all in shared memory is reached, if it has one
    machine   that it stands on; "" where all are on one
    """

    node: str
    epoch: int
    link: LinkSpec
    address: str = ""
    ranks: str = ""
    machine: str = ""


class Membership:
    """Members by node. `directory`: worker -> the node that it stands on, whoever lives there.

    on_join, on_leave   told of each member that comes, or goes and why, in order
    """

    def __init__(self, directory: Mapping[str, str]) -> None:
        self._directory = dict(directory)
        self._members: dict[str, Member] = {}
        self._newest: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self.on_join: list[Callable[[Member], None]] = []
        self.on_leave: list[Callable[[Member, str], None]] = []

    @property
    def directory(self) -> Mapping[str, str]:
        """Worker -> node, as it is at any time."""
        return self._directory

    def become(self, directory: Mapping[str, str]) -> None:
        """The cluster has these workers from now on; who lives is another matter."""
        self._directory.clear()
        self._directory.update(directory)

    def node_of(self, worker: str) -> str | None:
        """The node that a worker stands on, or None if there is no such worker."""
        return self._directory.get(worker)

    def member(self, node: str) -> Member | None:
        """The incarnation of a node that lives, or None."""
        return self._members.get(node)

    def living(self) -> dict[str, int]:
        """Node -> epoch of all that live, as far as this one knows, itself included."""
        return {node: member.epoch for node, member in self._members.items()}

    def lives(self, node: str, epoch: int) -> bool:
        """Whether that incarnation is the one that lives."""
        member = self._members.get(node)
        return member is not None and member.epoch == epoch

    def reach(self, worker: str) -> Member:
        """The member on which a worker stands. Raises PeerDead where nobody lives there."""
        node = self._directory.get(worker)
        if node is None:
            raise PeerDead(f"there is no worker {worker!r} in this cluster")
        member = self._members.get(node)
        if member is None:
            why = self._reasons.get(node, "it never joined")
            raise PeerDead(f"{worker} on {node} is gone: {why}", node=node)
        return member

    def join(self, member: Member) -> None:
        """It lives, and no other incarnation of its node does. One that is not newer than what was
        known changes nothing.
        """
        if member.epoch <= self._newest.get(member.node, -1):
            return
        self.leave(member.node, f"its incarnation {member.epoch} came")
        self._newest[member.node] = member.epoch
        self._members[member.node] = member
        for listener in self.on_join:
            listener(member)

    def leave(self, node: str, reason: str) -> None:
        """Whoever lives there is gone; it stays known that this epoch was."""
        member = self._members.pop(node, None)
        if member is None:
            return
        self._reasons[node] = reason
        for listener in self.on_leave:
            listener(member, reason)
