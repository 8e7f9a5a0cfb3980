"""The one way in which anything happens to a router: encoded, applied, journaled, acted upon.

    what came ─▶ event ─▶ apply ─▶ journal ─▶ actions

An event that cannot be written or cannot have happened raises before anything changes. The journal
is written behind the event loop's back, and three kinds of action wait for it, since they promise
or take something: `Accept`, `Reserve` and `Generate`. All others may leave before their events are
safe. Should a crash take those, the router begins the streams in question anew, and what was told
twice counts once: readers and this router know positions, chips know sequences.
"""

from collections.abc import Callable, Sequence

from cluster.router.journal.codec import encode
from cluster.router.journal.journal import Journal
from cluster.router.machine.actions import Action
from cluster.router.machine.events import Event
from cluster.router.machine.machine import Machine
from cluster.router.machine.state import RouterState

Perform = Callable[[Sequence[Action]], None]


class Ledger:
    """perform   what acts; set once, by whoever performs
    journal   None keeps none: a restarted router then knows nothing
    """

    def __init__(self, machine: Machine, journal: Journal | None) -> None:
        self._machine, self._journal = machine, journal
        self.perform: Perform = _nobody
        if journal is not None:
            journal.begin(machine.state)

    @property
    def state(self) -> RouterState:
        """To be read; `happened` alone changes it."""
        return self._machine.state

    def happened(self, event: Event) -> None:
        """Raises ImpossibleEvent, or TypeError for what no journal can hold; then nothing has."""
        record = encode(event) if self._journal is not None else b""
        actions = self._machine.apply(event)
        if self._journal is not None:
            self._journal.append(record, self.state)
        if actions:
            self.perform(actions)

    @property
    def is_committed(self) -> bool:
        """Whether all that has happened would survive a crash."""
        return self._journal is None or self._journal.is_committed

    async def committed(self) -> None:
        """Until all that has happened would survive a crash; PerfuseError if it never will."""
        if self._journal is not None:
            await self._journal.committed()


def _nobody(actions: Sequence[Action]) -> None:
    raise AssertionError(f"nobody performs {actions}")
