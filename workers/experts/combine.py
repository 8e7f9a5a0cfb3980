"""A shard's half of the exchange: see `exchange`."""

from collections.abc import Sequence
from typing import Protocol

from workers.host.clock.base import Clock
from workers.host.mailbox import Mailbox
from workers.model.numerics import Numerics
from workers.model.program import Sums
from workers.wire.calls import Handled
from workers.wire.kinds.experts import Combine, Dispatch, Gather
from workers.wire.kinds.switched import Partial, Relayed
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.relays import Relays


class Dispatched(Protocol):
    """One dispatch that reached a shard."""

    @property
    def content(self) -> Dispatch: ...


class CombineSide:
    """`waiting` is bounded by those who dispatch: each waits for its answers, and
    has no more than its credits on their way.
    """

    def __init__(
        self, port: Port, waiting: Mailbox[Dispatched], numerics: Numerics, clock: Clock
    ) -> None:
        self._port, self._waiting, self._clock = port, waiting, clock
        port.on(Dispatch, self._arrived)
        port.on(Relayed, self._relayed)
        self._relays = Relays(port.endpoint, numerics)

    def _arrived(self, message: Message[Dispatch]) -> Handled:
        self._waiting.put(message)
        return Handled.LATER

    def _relayed(self, message: Message[Relayed]) -> None:
        """A dispatch came by way of a switch: from here on it is as if the chip had sent it."""
        told = message.content
        content = Dispatch(
            told.layer, told.request, told.position, told.experts, told.weights, told.hidden,
            told.computed_for, told.gather,
        )  # fmt: skip
        call = Message(
            content, told.asker, message.destination, message.request_id, told.deadline_ns,
            message_id=told.call, concluded=told.concluded, due_ns=message.due_ns,
        )  # fmt: skip
        self._relays.called(call, told.epoch)

    def backlog(self) -> int:
        return len(self._waiting)

    async def dispatch_receive(self) -> list[Dispatched]:
        """All that waits, from all chips and layers, oldest first; waits for at least one that
        somebody still wants.
        """
        while True:
            waiting = await self._waiting.get_due()
            if wanted := [one for one in waiting if not self._is_late(one)]:
                return wanted

    def _is_late(self, one: Dispatched) -> bool:
        """A straggler does not compute what was given up, or what somebody else has answered
        meanwhile, or it would never catch up.
        """
        if not isinstance(one, Message):
            return False
        is_given_up = not one.caller.remembered.is_wanted(one.message_id)
        return is_given_up or self._clock.now() >= self._clock.deadline_floor(one.deadline_ns)

    async def combine_send(self, batch: Sequence[Dispatched], sums: Sequence[Sums]) -> None:
        """Answer each dispatch with its partial sums [t, H], as they travel."""
        for dispatched, sums_TH in zip(batch, sums, strict=True):
            gather = dispatched.content.gather
            if gather is None:
                self._answer(dispatched, sums_TH)
            else:
                await self._answer_by(gather, dispatched, sums_TH)

    def _answer(self, dispatched: Dispatched, sums_TH: Sums) -> None:
        assert isinstance(dispatched, Message), "another side's"
        self._port.reply(dispatched, Combine(sums_TH, dispatched.content.computed_for))

    async def _answer_by(self, gather: Gather, dispatched: Dispatched, sums_TH: Sums) -> None:
        assert isinstance(dispatched, Message), "another side's"
        told = dispatched.content
        partial = Partial(
            told.request, told.position, sums_TH, gather, dispatched.message_id, dispatched.source,
            dispatched.caller.epoch, told.computed_for,
        )  # fmt: skip
        answer = Combine(sums_TH, told.computed_for)
        await self._relays.answer_by(dispatched, answer, gather.until_ns, gather.switch, partial)

    async def refuse(self, batch: Sequence[Dispatched], error: Exception) -> None:
        """No sums will come: whoever waits for them hears why."""
        for dispatched in batch:
            self._refuse(dispatched, error)

    def _refuse(self, dispatched: Dispatched, error: Exception) -> None:
        assert isinstance(dispatched, Message), "another side's"
        self._port.refuse(dispatched, error)
