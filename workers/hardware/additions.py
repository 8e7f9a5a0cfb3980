"""Additions at the link: an engine beside the NIC that adds what comes to what has come.

A device has one where its `resources` name `nic`, whose units are bytes: of a term that is added to
another, as the link is charged for it. What is first of its kind is only kept. It works while more
comes, in turn; without one, additions cost nothing.
"""

from collections.abc import Callable

from configs.schema.device import ADDER
from workers.hardware.energy.phase import Cause
from workers.hardware.hardware import Hardware
from workers.hardware.launch import Launch
from workers.hardware.work import Demand, Work
from workers.host.clock.base import Clock


class Additions:
    """Of one machine. `are_charged`: whether it has such an engine, and time is emulated."""

    def __init__(self, hardware: Hardware, clock: Clock) -> None:
        self._hardware, self._clock = hardware, clock
        self.are_charged = clock.emulated and ADDER in hardware.resources

    def begin(self, num_bytes: int, cause: Cause) -> Launch:
        """From now on. Where they are charged."""
        work = Work("additions", (Demand(ADDER, num_bytes),))
        return self._hardware.launch(work, self._clock.now(), cause, overhead=False)

    def then(self, num_bytes: int, cause: Cause, told: Callable[[], None]) -> None:
        """Tell when so much was added: now, where it costs nothing."""
        if not num_bytes or not self.are_charged:
            told()
            return

        def ended(end_ns: int) -> None:
            self._clock.call_at(end_ns, told)

        self.begin(num_bytes, cause).then(ended)
