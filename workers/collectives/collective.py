"""One collective under way, as one member of its group has it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workers.collectives.held import Held
from workers.collectives.progress import Progress, Sent
from workers.errors import CorruptMessage, DeadlineExceeded, PerfuseError
from workers.hardware.energy.phase import Cause
from workers.host.clock.base import Clock, wake
from workers.wire.roles import Array


class Collective:
    """What `Group.begin` gives: something that others were sent and will answer.

    what      as errors name it             cause    what its energy is spent for
    ready_ns  when the last that this member has had of it was due
    on_fail   told why, once, when it cannot end well
    on_over   told when it has ended, well or not, and all that it sent was heard
    """

    def __init__(
        self,
        clock: Clock,
        number: int,
        what: str,
        progress: Progress,
        finish: Callable[[Held], Any],
        timeout_ns: int,
        cause: Cause,
    ) -> None:
        self.number, self.what, self.progress, self.cause = number, what, progress, cause
        self._clock, self._finish = clock, finish
        self.ready_ns = clock.now()
        self.deadline_ns = self.ready_ns + timeout_ns
        self.error: PerfuseError | None = None
        self.on_fail: Callable[[Collective, PerfuseError], None] = _nobody
        self.on_over: Callable[[Collective], None] = _nobody
        self._num_unheard = 0
        self._waiter: asyncio.Future[None] | None = None
        at_ns = clock.deadline_floor(self.deadline_ns)
        self._timer = clock.call_at(at_ns, self._too_late)

    @property
    def has_ended(self) -> bool:
        return self.error is not None or self.progress.is_done

    async def receive(self) -> Any:
        """What came of it, once all is there. Raises PeerDead, DeadlineExceeded, CorruptMessage."""
        if not self.has_ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self.error is not None:
            raise self.error
        self._clock.advance(self.ready_ns)
        return self._finish(self.progress.held)

    def abandon(self) -> None:
        """Nobody here will ask for the result. The other ranks may: so it goes on."""

    def arrived(
        self, source: int, number: int, num_bytes: Sequence[int], held: Mapping[str, Array]
    ) -> Sequence[Sent]:
        """What that lets go out; none where it has ended. Raises CorruptMessage."""
        if self.error is not None:
            return ()
        self.ready_ns = max(self.ready_ns, self._clock.now())
        try:
            return self.progress.arrived(source, number, num_bytes, held)
        except CorruptMessage as error:
            raise CorruptMessage(f"{self.what}: {error.message}") from error

    def leave(self, num_pieces: int) -> None:
        """So many pieces of it go now: what becomes of each will be `heard`."""
        self._num_unheard += num_pieces

    def heard(self, error: PerfuseError | None) -> None:
        """What became of such a piece."""
        self._num_unheard -= 1
        if error is not None:
            self.fail(error)
        self.settle()

    def fail(self, error: PerfuseError) -> None:
        """It cannot end well; the first reason stands."""
        if not self.has_ended:
            self.error = error
            self.on_fail(self, error)
        self.settle()

    def settle(self) -> None:
        """See whether it has ended."""
        if not self.has_ended:
            return
        self._timer.cancel()
        if self._waiter is not None:
            wake(self._waiter)
        if not self._num_unheard:
            self.on_over(self)

    def _too_late(self) -> None:
        missing = ", ".join(map(str, sorted(self.progress.missing())))
        self.fail(DeadlineExceeded(f"{self.what}: nothing came in time from member {missing}"))


def _nobody(*_: Any) -> None:
    """Is told."""
