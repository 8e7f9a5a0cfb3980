"""A group of ranks that do collectives together, as one of them has it.

Every rank begins the same collectives in the same order, and counts them. What a rank hears of one
that it has not begun waits for it; whoever is AHEAD_MAX of them ahead is not answered before that,
and begins no more than as many again. So a member holds the shares of a few collectives at most.

    begin ─▶ pieces of the first round ─▶ each that comes lets others go ─▶ ... ─▶ receive

Pieces are calls: one that is lost is sent again, one that comes twice is taken once. A member that
is gone ends what its group does at every rank; one that is silent does by the deadline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from workers.collectives.collective import Collective
from workers.collectives.held import Held
from workers.collectives.progress import Progress, Sent
from workers.collectives.schedule import Schedule
from workers.collectives.sending import Sending
from workers.errors import CorruptMessage, PeerDead, PerfuseError
from workers.hardware.additions import Additions
from workers.hardware.energy.phase import Cause, Phase
from workers.host.credits import Credits
from workers.node import Node
from workers.wire.calls import Handled
from workers.wire.incoming import DONE
from workers.wire.kind import Kind
from workers.wire.kinds.collectives import Piece
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.port import Port

# Two micro-batches have one each, and whoever is faster begins the next two.
AHEAD_MAX = 4


@dataclass(frozen=True, slots=True)
class _Early:
    """A piece of a collective that is not begun; `is_held`: its sender has no answer yet."""

    message: Message[Piece]
    is_held: bool


class Group:
    """members     workers in the order of their ranks, and a switch after them if one takes part
    num_ranks   of them; None: all
    timeout_ns  how long after its begin a collective may take
    on_early    told of each piece of a collective that is not begun
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        name: str,
        members: Sequence[str],
        timeout_ns: int,
        num_ranks: int | None = None,
    ) -> None:
        self.name, self.members = name, tuple(members)
        self.num_ranks = len(self.members) if num_ranks is None else num_ranks
        self.me, self.numerics = self.members.index(port.worker), node.numerics
        self.link = node.endpoint.link
        self._node, self._clock, self._port, self._timeout_ns = node, node.clock, port, timeout_ns
        self._index = {worker: index for index, worker in enumerate(self.members)}
        self.on_early: Callable[[Message[Piece]], None] = _nobody
        self._next = 0
        self._open: dict[int, Collective] = {}
        self._early: dict[int, list[_Early]] = {}
        self._broken: PerfuseError | None = None
        self._window = Credits(node.clock, AHEAD_MAX)
        self._sending = Sending(node, port, name)
        self._additions = Additions(node.hardware, node.clock)
        node.members.on_leave.append(self._left)

    def num_open(self) -> int:
        """Collectives that are not over, and pieces of others that came early: 0 when idle."""
        return len(self._open) + sum(map(len, self._early.values()))

    @property
    def next_number(self) -> int:
        """Of the collective that is begun next."""
        return self._next

    @property
    def is_broken(self) -> bool:
        """One has failed: none begins before a `restart`."""
        return self._broken is not None

    def restart(self, number: int) -> None:
        """Forget what is open, and count from here: for ranks that have lost each other and agree
        on a number above all before.
        """
        assert number >= self._next, f"collectives are counted upwards: {number} is behind"
        self._break(PerfuseError(f"{self.name} begins anew"))
        self._next, self._broken = number, None
        for old in [known for known in self._early if known < number]:
            for early in self._early.pop(old):
                self._answer(early)

    def give_up(self, error: PerfuseError) -> None:
        """What is open fails here with that, and nothing begins before a `restart`."""
        self._break(error)

    async def begin(
        self,
        what: str,
        schedule: Schedule,
        held: Held,
        finish: Callable[[Held], Any],
        cause: Cause = Phase.SERVING,
    ) -> Collective:
        """The next collective of this group: returns when what goes first is on its way. Raises
        why an earlier one failed: after that the ranks may have lost each other.
        """
        await self._window.wait()
        if self._broken is not None:
            self._window.give()
            raise self._broken
        number, self._next = self._next, self._next + 1
        progress = Progress(schedule.steps(self.me), held)
        named = f"{what} {number} of {self.name}"
        collective = Collective(
            self._clock, number, named, progress, finish, self._timeout_ns, cause
        )
        collective.on_fail, collective.on_over = self._failed, self._over
        self._open[number] = collective
        self._go_on(collective, progress.begin())
        for early in self._early.pop(number, ()):
            # Where the host is late, it may have come at a time that the beginner has not reached.
            at_ns = max(self._clock.now(), early.message.due_ns)
            self._clock.call_at(at_ns, self._take, collective, early.message)
            self._answer(early)
        return collective

    # -- what others say ---------------------------------------------------------------------------

    def heard(self, message: Message[Piece]) -> Kind[Any] | Handled:
        """A piece came."""
        number = message.content.number
        collective = self._open.get(number)
        if collective is not None:
            self._take(collective, message)
        elif number >= self._next:
            is_held = number >= self._next + AHEAD_MAX
            self._early.setdefault(number, []).append(_Early(message, is_held))
            self.on_early(message)
            return Handled.LATER if is_held else DONE
        return DONE  # also where it is over: then nobody needs it

    def _answer(self, early: _Early) -> None:
        if early.is_held:
            self._port.reply(early.message, DONE)

    def _take(self, collective: Collective, message: Message[Piece]) -> None:
        """It counts when its terms are added to those that are here."""
        piece, source = message.content, self._index.get(message.source)
        if source is None:
            collective.fail(CorruptMessage(f"{message.source} is no member of {self.name}"))
            return
        if not self._additions.are_charged:
            self._added(collective, source, piece)
            return
        num_bytes = collective.progress.added_bytes(source, piece.round, piece.num_bytes)
        added = partial(self._added, collective, source, piece)
        self._additions.then(num_bytes, piece.computed_for, added)

    def _added(self, collective: Collective, source: int, piece: Piece) -> None:
        try:
            sent = collective.arrived(source, piece.round, piece.num_bytes, piece.held)
        except PerfuseError as error:
            collective.fail(error)
        else:
            self._go_on(collective, sent)

    # -- what goes out -----------------------------------------------------------------------------

    def _go_on(self, collective: Collective, sent: Sequence[Sent]) -> None:
        self._clock.advance(collective.ready_ns)
        if sent and collective.error is None:
            collective.leave(len(sent))
            pieces = [(self.members[one.transfer.to], self._piece(collective, one)) for one in sent]
            self._sending.post(pieces, collective.deadline_ns, collective.heard)
        collective.settle()

    def _piece(self, collective: Collective, sent: Sent) -> Piece:
        return Piece(
            self.name,
            collective.number,
            sent.round,
            sent.transfer.chunks,
            sent.num_bytes,
            sent.held,
            collective.cause,
        )

    # -- ends --------------------------------------------------------------------------------------

    def _over(self, collective: Collective) -> None:
        if self._open.pop(collective.number, None) is not None:
            self._window.give()

    def _failed(self, collective: Collective, error: PerfuseError) -> None:
        self._break(error)

    def _left(self, member: Member, reason: str) -> None:
        """Its next incarnation would begin to count anew."""
        for worker in self.members:
            if self._node.members.node_of(worker) == member.node:
                text = f"{worker} on {member.node} is gone: {reason}"
                self._break(PeerDead(text, node=member.node))
                self._forget_early(worker)

    def _forget_early(self, worker: str) -> None:
        for number, waiting in list(self._early.items()):
            self._early[number] = [e for e in waiting if e.message.source != worker]
            if not self._early[number]:
                del self._early[number]

    def _break(self, error: PerfuseError) -> None:
        """What is open fails, and nothing begins until `restart`."""
        if self._broken is None:
            self._broken = error
            for collective in list(self._open.values()):
                collective.fail(error)


def _nobody(_message: Message[Piece]) -> None:
    """Is told."""
