"""Keeps the clock of a node on another machine's: measured again and again, both ways, and followed
without a jump.
"""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from workers.host.clock.asking import Asker
from workers.host.clock.line import Line, Sample, fit
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.clock.source import ClockSource

# So many questions a time, of which the one with the shortest round trip counts, so often, and so
# many of those are remembered.
QUESTIONS, EVERY_S, KEPT = 8, 1.0, 64
# At first more often: two clocks may drift apart by a fifth of a millisecond a second.
FIRST_QUESTIONS, FIRST_EVERY_S, NUM_FIRST = 24, 0.2, 10
# Tries before it is said that nobody answers.
FIRST_TRIES = 8
# What is off the line by more than it can be is no drift: a machine was stopped, or its clock set.
JUMP_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class Reference:
    """The clock that a whole cluster goes by: time 0 on it, and where it can be asked."""

    origin: Origin
    asker: Asker


@dataclass(frozen=True, slots=True)
class Correction:
    """What a clock is corrected by now: the other is so far ahead and so much faster, to within
    `error_ns`, as of `age_ns` ago.
    """

    ahead_ns: int
    ppm: float
    error_ns: int
    age_ns: int


class Steering:
    """Measures from a thread of its own, and steers `clock` from its event loop.

    Raises OSError or TimeoutError where the reference does not answer at all.
    """

    def __init__(self, clock: LiveClock, reference: Reference) -> None:
        self._clock, self._reference = clock, reference
        self._read = ClockSource.of_environment().read
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._line: Line | None = None
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        for _ in range(FIRST_TRIES):
            if self._measure(FIRST_QUESTIONS):
                break
        else:
            asker = reference.asker
            raise TimeoutError(
                f"clocks cannot be compared: nobody answers at {asker.host}:{asker.port} (UDP), "
                "where the cluster's time is told: is that port closed between the machines?"
            )
        self._steer()
        self._thread = threading.Thread(target=self._keep, name="steering", daemon=True)
        self._thread.start()

    def correction(self) -> Correction:
        line, best = self._line, self._samples[-1]
        assert line is not None, "measured when it was made"
        now_ns = self._read()
        ahead_ns = line.other_ns(now_ns) - now_ns
        return Correction(ahead_ns, line.rate * 1e6, best.error_ns, now_ns - best.at_ns)

    def close(self) -> None:
        """Measure no more; the clock goes on as it is."""
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        num_done = 0
        while not self._ended.wait(FIRST_EVERY_S if num_done < NUM_FIRST else EVERY_S):
            with suppress(OSError):  # the network is down: the line is all there is
                num_done += self._measure(QUESTIONS)
            try:
                # Each time, measured or not: a turn towards the line must not go on beyond it.
                self._loop.call_soon_threadsafe(self._steer)
            except RuntimeError:  # the loop has closed
                return

    def _measure(self, number: int) -> bool:
        samples = self._reference.asker.ask(number, self._read)
        if not samples:
            return False
        best = min(samples, key=lambda sample: sample.error_ns)
        if self._line is not None:
            off_ns = abs(best.at_ns + best.ahead_ns - self._line.other_ns(best.at_ns))
            if off_ns > best.error_ns + JUMP_NS:
                self._samples.clear()
        self._samples.append(best)
        self._line = fit(self._samples)
        return True

    def _steer(self) -> None:
        assert self._line is not None, "measured before"
        self._clock.steer(self._line, self._reference.origin.monotonic_ns)
