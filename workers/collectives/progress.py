"""One member's way through a schedule, by what arrives: pure, and without a clock.

It sends what a round asks for as soon as all that earlier rounds were to bring has come; what comes
early waits here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workers.collectives.held import Held
from workers.collectives.schedule import Step, Transfer
from workers.errors import CorruptMessage
from workers.wire.roles import Array


@dataclass(frozen=True, slots=True)
class Sent:
    """A transfer that is due, with what it carries."""

    round: int
    transfer: Transfer
    num_bytes: tuple[int, ...]
    held: Mapping[str, Array]


class Progress:
    """is_done: nothing is left to send or to receive."""

    def __init__(self, steps: Sequence[Step], held: Held) -> None:
        self.held = held
        self._steps, self._round = steps, -1
        # (source, round) of what has not come, and which of them the present round waits for.
        self._expected = {
            (transfer.source, number): transfer
            for number, step in enumerate(steps)
            for transfer in step.receives
        }
        self._num_missing = 0

    @property
    def is_done(self) -> bool:
        return self._round == len(self._steps)

    def missing(self) -> list[int]:
        """Members of whom something has not come yet, that the present round waits for."""
        return [source for source, number in self._expected if number == self._round]

    def begin(self) -> list[Sent]:
        """What goes out at once."""
        return self._advance()

    def added_bytes(self, source: int, number: int, num_bytes: Sequence[int]) -> int:
        """What there is to add of something that came, before it has `arrived`."""
        transfer = self._expected.get((source, number))
        if transfer is None:
            return 0
        return self.held.added_bytes(transfer.chunks, transfer.summed, num_bytes)

    def arrived(
        self, source: int, number: int, num_bytes: Sequence[int], held: Mapping[str, Array]
    ) -> list[Sent]:
        """Something came; returns what it lets go out. Raises CorruptMessage where it was not to
        come.
        """
        transfer = self._expected.pop((source, number), None)
        if transfer is None:
            raise CorruptMessage(f"member {source} sent something in round {number}, uncalled for")
        self.held.take(transfer.chunks, transfer.summed, num_bytes, held)
        if number != self._round:
            return []
        self._num_missing -= 1
        return [] if self._num_missing else self._advance()

    def _advance(self) -> list[Sent]:
        sent: list[Sent] = []
        while self._round < len(self._steps):
            self._round += 1
            if self.is_done:
                break
            step = self._steps[self._round]
            sent += [self._carry(transfer) for transfer in step.sends]
            self._num_missing = sum(
                (t.source, self._round) in self._expected for t in step.receives
            )
            if self._num_missing:
                break
        return sent

    def _carry(self, transfer: Transfer) -> Sent:
        chunks = transfer.chunks
        num_bytes = tuple(self.held.num_bytes[chunk] for chunk in chunks)
        without = None if transfer.own else transfer.source
        held = self.held.carried(chunks, transfer.summed, without)
        return Sent(self._round, transfer, num_bytes, held)
