"""Brings back nodes of the local world whose processes have ended, as often as a scenario allows.

A process that has ended is noticed within LOOK_S. One that is stopped has not ended: it is let be,
for it may go on, and what it had is what failure detection and deadlines are about.
"""

import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

import psutil

from cluster.worlds.signals import Living

LOOK_S = 0.25


def has_ended(pid: int) -> bool:
    """Whether no process runs under that id; one that nobody has waited for yet has ended, too."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class Supervisor:
    """living      as the world knows it
    ended       told of a node whose process was not there when it was looked for
    revive      lets its next incarnation join; waits for that
    restarts    how often each node may be brought back; 0: nobody looks
    """

    def __init__(
        self,
        nodes: Sequence[str],
        living: Living,
        ended: Callable[[str], None],
        revive: Callable[[str], None],
        restarts: int,
    ) -> None:
        self._nodes, self._living, self._ended, self._revive = nodes, living, ended, revive
        self._restarts, self.num_restarts = restarts, Counter[str]()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def begin(self) -> None:
        """The cluster stands."""
        if self._restarts:
            self._thread.start()

    def stop(self) -> None:
        """Nobody is brought back from now on."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Once at every node. Those that were killed in the world's name are gone already."""
        for node in self._nodes:
            living = self._living(node)
            if living is not None and has_ended(living[1]):
                self._ended(node)
        for node in self._nodes:
            is_due = self._living(node) is None and self.num_restarts[node] < self._restarts
            if is_due and not self._is_over.is_set():
                self.num_restarts[node] += 1
                try:
                    self._revive(node)
                except Exception:  # whatever it is: the next look tries again, while it may
                    traceback.print_exc()
