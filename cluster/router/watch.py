"""Whether chips that have something to do still say anything.

A chip that computes tells what it samples. Whoever has told nothing for a while is asked; who has
not said anything for BEATS looks in a row, nor answered, is silent. Looks are counted, not time: a
router that was stopped itself finds nobody silent who had no time to speak. Nobody looks while the
router has no request, and chips without any are left alone.
"""

from contextlib import suppress

from cluster.router.ledger import Ledger
from cluster.router.machine.watch_events import ChipHeard, ChipSilent
from cluster.router.wire import Wire
from workers.errors import PerfuseError
from workers.host.clock.base import Timer
from workers.node import Node

# Looks until a chip is silent. With the first after its last word it may have spoken just before.
BEATS = 5


class Watch:
    """silence_ns   after which a chip is silent that says nothing: at most that, and at least four
    fifths of it; None: nobody looks
    """

    def __init__(self, node: Node, wire: Wire, ledger: Ledger, silence_ns: int | None) -> None:
        self._node, self._wire, self._ledger = node, wire, ledger
        self._is_on, self._silence_ns = silence_ns is not None, silence_ns or 0
        self._num_looks: dict[str, int] = {}  # chip -> since its last word
        self._asked: set[str] = set()
        self._timer: Timer | None = None

    def begin(self) -> None:
        """A chip is given something."""
        if self._is_on and self._timer is None:
            self._num_looks.clear()
            self._arm()

    def heard(self, chip: str) -> None:
        """It said something."""
        self._num_looks[chip] = 0
        known = self._ledger.state.chips.get(chip)
        if known is not None and known.is_silent:
            self._ledger.happened(ChipHeard(self._node.clock.now(), chip))

    def _arm(self) -> None:
        clock = self._node.clock
        now_ns = clock.now()
        within_ns = clock.deadline_floor(now_ns + self._silence_ns) - now_ns
        self._timer = clock.call_at(now_ns + within_ns // BEATS, self._look)

    def _look(self) -> None:
        self._timer, state = None, self._ledger.state
        for name, chip in list(state.chips.items()):
            if not chip.alive or not (chip.num_requests or chip.is_silent):
                self._num_looks.pop(name, None)
                continue
            self._num_looks[name] = num_looks = self._num_looks.get(name, 0) + 1
            if num_looks >= BEATS and not chip.is_silent:
                reason = f"nothing was heard of it for {self._silence_ns / 1e9:g} s"
                self._ledger.happened(ChipSilent(self._node.clock.now(), name, reason))
            if num_looks > 1 and name not in self._asked:
                self._asked.add(name)
                self._node.spawn(self._ask(name), f"is {name} there")
        if state.requests:
            self._arm()

    async def _ask(self, chip: str) -> None:
        try:
            with suppress(PerfuseError):
                await self._wire.is_there(chip, self._silence_ns)
                self.heard(chip)
        finally:
            self._asked.discard(chip)
