"""One rank's way to the others of its chip."""

from collections.abc import Callable
from typing import Any

from configs.parts import Ranks
from workers.errors import PeerDead, PerfuseError, from_body, to_body
from workers.node import Node
from workers.parallel.inbox import Inbox
from workers.wire.calls import Pending
from workers.wire.kind import Kind
from workers.wire.kinds.ranks import Share, StageRows, StepFailed
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.port import Port


class Team:
    """Says and hears. Every message is a call, so one that is lost is sent again; nobody waits for
    its acknowledgement but one task, which fails the step if there is none.

    number       of this rank        timeout_ns   for which it waits for another
    on_failure   told when a rank is gone, or one did not acknowledge what its leader told it
    on_step_failed   told when a step is of no use any more
    """

    def __init__(self, node: Node, port: Port, ranks: Ranks, number: int, timeout_ns: int) -> None:
        self.node, self.port, self.ranks, self.number = node, port, ranks, number
        self.timeout_ns, self.numerics = timeout_ns, node.numerics
        self.inbox = Inbox(node.clock)
        self.on_failure: list[Callable[[PerfuseError], None]] = []
        self.on_step_failed: list[Callable[[], None]] = []
        self._num_exchanges = 0
        self._said: Any = node.mailbox()
        self._numbers = {name: rank for rank, name in enumerate(ranks.names)}
        self._nodes = {node.members.node_of(name) for name in ranks.names} - {node.name}
        port.on(Share, self._arrived)
        port.on(StageRows, self._arrived)
        port.on(StepFailed, self._failed)
        node.members.on_leave.append(self._left)
        node.spawn(self._hear(), f"acknowledgements to {port.worker}")

    @property
    def peers(self) -> range:
        """Ranks of the same pipeline stage, itself among them."""
        return self.ranks.peers(self.number)

    @property
    def stage(self) -> int:
        return self.ranks.stage(self.number)

    def expect(self, step: int) -> None:
        """It will be run here, after those before it."""
        self.inbox.expect(step)

    def begin(self, step: int) -> None:
        self.inbox.begin(step)
        self._num_exchanges = 0

    def next_exchange(self) -> int:
        """Number of an exchange between the ranks of a stage: all of them count alike."""
        self._num_exchanges += 1
        return self._num_exchanges

    def check(self) -> None:
        """Raises PeerDead where a rank of the chip is gone."""
        for name in self.ranks.names:
            self.node.members.reach(name)

    async def say(self, rank: int, content: Kind[Any], request_id: str = "") -> None:
        """Returns when it has left. Raises PeerDead, DeadlineExceeded."""
        deadline_ns = self.node.clock.now() + self.timeout_ns
        name = self.ranks.names[rank]
        pending = await self.port.post(
            name, content, deadline_ns=deadline_ns, request_id=request_id
        )
        self._said.put((pending, getattr(content, "step", None)))

    async def hear(self, kind: type[Kind[Any]], number: int, rank: int, timeouts: int = 1) -> Any:
        """What another rank said for this step, which may take it so many timeouts: it may wait for
        others itself. Raises what the step failed with.
        """
        deadline_ns = self.node.clock.now() + timeouts * self.timeout_ns
        return await self.inbox.get((kind.kind, number, rank), deadline_ns)

    async def give_up(self, step: int, error: Exception) -> None:
        """This rank cannot go on with a step: all others hear it."""
        body = to_body(error)
        for rank in range(len(self.ranks.names)):
            if rank != self.number:
                try:
                    await self.say(rank, StepFailed(step, body))
                except PerfuseError:
                    continue  # whoever is gone waits for nothing

    def _arrived(self, message: Message[Any]) -> None:
        content = message.content
        place = (content.kind, content.number, self._numbers[message.source])
        self.inbox.put(content.step, place, content)

    def _failed(self, message: Message[StepFailed]) -> None:
        self._end(message.content.step, from_body(dict(message.content.error)))

    def _left(self, member: Member, reason: str) -> None:
        if member.node in self._nodes:
            self._fail(PeerDead(f"{member.node}, a rank of the chip, is gone: {reason}"))

    def _fail(self, error: PerfuseError) -> None:
        for step in self.inbox.under_way():
            self._end(step, error)
        for listener in self.on_failure:
            listener(error)

    def _end(self, step: int, error: PerfuseError) -> None:
        self.inbox.fail(step, error)
        if step == self.inbox.step:
            for listener in self.on_step_failed:
                listener()

    async def _hear(self) -> None:
        while True:
            said: list[tuple[Pending[Any], int | None]] = await self._said.get_due()
            await self.port.settled([pending for pending, _ in said])
            for pending, step in said:
                try:
                    pending.take()
                except PeerDead:
                    continue  # `_left` has told
                except PerfuseError as error:
                    self._unheard(step, error)

    def _unheard(self, step: int | None, error: PerfuseError) -> None:
        """Of what a leader told, blocks and sequences are kept: all that is under way is void. What
        another rank told was for one step, and is missed in no other.
        """
        if self.number == self.ranks.leader or step is None:
            self._fail(error)
        else:
            self._end(step, error)
