"""What faults do to nodes that are processes of this machine: kill -9, SIGSTOP and SIGCONT."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

# Of the incarnation that lives: (epoch, process id); None: none does.
Living = Callable[[str], tuple[int, int] | None]


class Signals:
    """`cluster.faults.actuator.Actuator` of the local world. A process that stands still answers
    nothing, so its id is known before.

    kill, revive   as the world does them; they may wait
    """

    def __init__(
        self, living: Living, kill: Callable[[str], None], revive: Callable[[str], None]
    ) -> None:
        self._living, self._kill, self._revive = living, kill, revive
        self._num_pauses: dict[int, int] = {}  # process id -> how many

    def epoch(self, node: str) -> int | None:
        living = self._living(node)
        return None if living is None else living[0]

    async def crash(self, node: str) -> None:
        self._kill(node)

    async def restart(self, node: str) -> None:
        """Beside the loop: others are resumed meanwhile, and may have to be for it to end."""
        await asyncio.get_running_loop().run_in_executor(None, self._revive, node)

    async def pause(self, node: str) -> None:
        living = self._living(node)
        if living is not None:
            self._num_pauses[living[1]] = self._num_pauses.get(living[1], 0) + 1
            _send(living[1], signal.SIGSTOP)

    async def resume(self, node: str) -> None:
        living = self._living(node)
        if living is None or living[1] not in self._num_pauses:
            return
        self._num_pauses[living[1]] -= 1
        if not self._num_pauses[living[1]]:
            del self._num_pauses[living[1]]
            _send(living[1], signal.SIGCONT)

    def resume_all(self) -> None:
        """The world ends, and asks every process to."""
        for pid in self._num_pauses:
            _send(pid, signal.SIGCONT)
        self._num_pauses.clear()


def _send(pid: int, what: signal.Signals) -> None:
    """One that has ended meanwhile needs none."""
    with suppress(ProcessLookupError):
        os.kill(pid, what)
