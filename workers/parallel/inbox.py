"""What other ranks have sent for a step, until this one asks for it."""

import asyncio
from typing import Any

from workers.errors import DeadlineExceeded, PerfuseError
from workers.host.clock.base import Clock

# Kind of what was sent, its number in the step, and the rank that sent it.
Place = tuple[str, int, int]


class Inbox:
    """Contents by step and place. Ranks are no further ahead of each other than there are steps in
    flight, so what lies here is bounded by what these exchange.

    step   that is run here, or is next
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.step = -1
        self._told: list[int] = []
        self._here: dict[tuple[int, Place], tuple[int, Any]] = {}
        self._waiting: dict[tuple[int, Place], asyncio.Future[tuple[int, Any]]] = {}
        self._failed: dict[int, PerfuseError] = {}

    def __len__(self) -> int:
        return len(self._here)

    def expect(self, step: int) -> None:
        """It will be run here, after those that were told before."""
        self._told.append(step)

    def begin(self, step: int) -> None:
        """What was for older steps is of no use any more."""
        self.step = step
        self._told = [told for told in self._told if told > step]
        self._here = {key: item for key, item in self._here.items() if key[0] >= step}
        self._failed = {failed: error for failed, error in self._failed.items() if failed >= step}

    def under_way(self) -> list[int]:
        """Steps that are run here, or will be; or the next one, where there is none. Those told:
        between the steps of two incarnations lie more than anybody can count.
        """
        return [self.step, *self._told]

    def end(self, step: int) -> None:
        """The step is over here."""
        self.begin(step + 1)

    def put(self, step: int, place: Place, content: Any) -> None:
        """It is due now. What is for a step that is over is dropped."""
        if step < self.step:
            return
        item, waiting = (self._clock.now(), content), self._waiting.get((step, place))
        if waiting is None:
            self._here[step, place] = item
        elif not waiting.done():
            waiting.set_result(item)

    def fail(self, step: int, error: PerfuseError) -> None:
        """Whoever waits for something of this step, now or later, gets the error instead."""
        if step < self.step:
            return
        self._failed.setdefault(step, error)
        for (number, _), waiting in self._waiting.items():
            if number == step and not waiting.done():
                waiting.set_exception(error)

    def failure(self, step: int) -> PerfuseError | None:
        """What a step failed with, as others have told."""
        return self._failed.get(step)

    async def get(self, place: Place, deadline_ns: int) -> Any:
        """What is for this place in the step that was begun, once. Raises DeadlineExceeded, or what
        the step failed with.
        """
        key = (self.step, place)
        item = self._here.pop(key, None)
        if item is None:
            if self.step in self._failed:
                raise self._failed[self.step]
            item = await self._come(key, deadline_ns)
        self._clock.advance(item[0])
        return item[1]

    async def _come(self, key: tuple[int, Place], deadline_ns: int) -> tuple[int, Any]:
        waiting: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiting
        try:
            async with self._clock.deadline(deadline_ns):
                return await waiting
        except DeadlineExceeded as late:
            kind, _, rank = key[1]
            raise DeadlineExceeded(f"rank {rank} of the chip sent no {kind} in time") from late
        finally:
            del self._waiting[key]
