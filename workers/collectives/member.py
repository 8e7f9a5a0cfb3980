"""A worker's groups, and the sums over ranks that its programs ask for."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from configs.schema.collectives import Algorithm
from workers.collectives.collective import Collective
from workers.collectives.group import Group
from workers.collectives.named import algorithms_for
from workers.collectives.operations import all_reduce, charged_bytes
from workers.errors import PerfuseError
from workers.hardware.energy.phase import Cause
from workers.model.program import Rows
from workers.node import Node
from workers.wire.calls import Handled
from workers.wire.kind import Kind
from workers.wire.kinds.collectives import Piece
from workers.wire.message import Message


class Collectives:
    """All groups of which one worker is a member: it takes what their members send."""

    def __init__(self, node: Node, worker: str) -> None:
        self._node, self._port = node, node.port(worker)
        self._groups: dict[str, Group] = {}
        self._port.on(Piece, self._heard)

    def join(
        self, name: str, members: Sequence[str], timeout_ns: int, num_ranks: int | None = None
    ) -> Group:
        """See `Group`. Every member joins under the same name with the same members, each worker
        once.
        """
        assert name not in self._groups, f"{self._port.worker} is in {name} already"
        group = Group(self._node, self._port, name, members, timeout_ns, num_ranks)
        self._groups[name] = group
        return group

    def _heard(self, message: Message[Piece]) -> Kind[Any] | Handled:
        group = self._groups.get(message.content.group)
        if group is None:
            raise PerfuseError(f"{self._port.worker} is in no group {message.content.group!r}")
        return group.heard(message)


class _Caused(Protocol):
    """What a share is for: a batch."""

    @property
    def cause(self) -> Cause: ...


class AllReduce:
    """The `Reducer` of a chip's programs (`workers.chip.interpreter`).

    algorithm   by name, or what tells it from the bytes of a share: then the same at every rank
    """

    def __init__(self, group: Group, algorithm: Algorithm | Callable[[int], Algorithm]) -> None:
        self._group = group
        if isinstance(algorithm, str):
            known = algorithms_for("all_reduce")
            assert algorithm in known, f"{algorithm!r} is none of {known}"
            self._choose: Callable[[int], Algorithm] = lambda _: algorithm
        else:
            self._choose = algorithm

    async def send(self, batch: _Caused, partial: Rows) -> Collective:
        """This rank's share [T, H]; `receive` gives the sum over all ranks [T, H], in the type in
        which sums merge, the same bits on each. Raises PeerDead, or why an earlier one failed.
        """
        algorithm = self._choose(charged_bytes(self._group, partial))
        return await all_reduce(self._group, algorithm, partial, batch.cause)
