"""Steps of one batch of a folded chip, that were begun together."""

import asyncio
from collections.abc import Callable, Sequence

from kernels.fold import Ended
from workers.chip.step import Step
from workers.fold.costs import Cost


class Stretch:
    """step    the first of them
    tokens     of each step and item, where several were begun
    costs      of each step
    on_step    told when a step has ended that is not the last
    """

    def __init__(
        self,
        step: Step,
        begun_ns: int,
        costs: Sequence[Cost],
        tokens: Sequence[Sequence[int]],
        on_step: Callable[[], None],
    ) -> None:
        self.step, self.costs, self.tokens, self._on_step = step, costs, tokens, on_step
        self.begun_ns, self.is_over, self.num_taken = begun_ns, False, 0
        self._ended: list[Ended] = []
        self._waiter: asyncio.Future[None] | None = None

    @property
    def num_steps(self) -> int:
        return len(self.costs)

    def add(self, ended: Ended) -> Cost:
        """One more of its steps has ended; what that cost."""
        self._ended.append(ended)
        self.is_over = ended.is_last
        return self.costs[ended.step]

    @property
    def is_half_over(self) -> bool:
        """Whether its chip will soon want more."""
        return 2 * len(self._ended) >= self.num_steps

    def take(self) -> list[Ended]:
        """Those that have ended since this was last asked."""
        fresh = self._ended[self.num_taken :]
        self.num_taken = len(self._ended)
        return fresh

    async def over(self) -> None:
        """Wait until the last one has ended."""
        if not self.is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def tell(self) -> None:
        if not self.is_over:
            self._on_step()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
