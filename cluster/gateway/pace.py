"""How fast answers end, and what that says to whoever asks now.

    arrived ── waits ──▶ begun (first output) ── stays ──▶ ended
    inside x gap between ends = until one more has ended, wherever it is that all of them wait

Gaps count only while somebody waits to begin, so they are those of a cluster that is busy: idle
times, and those in which everybody is served at once, say nothing of how much it can do.
"""

from collections import deque

from workers.errors import QueueFull

# The newest so many speak; before there are LEAST of them nobody is judged.
NEWEST, LEAST = 64, 16
# What is estimated takes so much longer at times: chips answer by the batch, and not in the order
# in which they were asked. An answer that is late has cost as much as a good one.
MARGIN = 1.5
NS_PER_S = 10**9


class Gaps:
    """Between things that happen one after the other while there is something to happen."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=NEWEST)
        self._sum_ns = self._since_ns = 0

    def __len__(self) -> int:
        return len(self._gaps)

    def busy(self, now_ns: int) -> None:
        """From now on there is."""
        self._since_ns = now_ns

    def happened(self, now_ns: int) -> None:
        gap_ns = now_ns - self._since_ns
        if len(self._gaps) == NEWEST:
            self._sum_ns -= self._gaps[0]
        self._gaps.append(gap_ns)
        self._sum_ns += gap_ns
        self._since_ns = now_ns

    def of(self, count: int) -> int:
        """How long so many take, as it went last; 0 before anything happened."""
        return count * self._sum_ns // max(1, len(self._gaps))


class Pace:
    """Follows all requests of one gateway. Times are emulated nanoseconds."""

    def __init__(self) -> None:
        self.num_waiting = self.num_open = 0
        self._ends = Gaps()

    def arrived(self, now_ns: int) -> None:
        if not self.num_waiting:
            self._ends.busy(now_ns)
        self.num_waiting += 1
        self.num_open += 1

    def begun(self) -> None:
        """One has its first output."""
        self.num_waiting -= 1

    def left(self, now_ns: int, *, has_begun: bool, is_whole: bool) -> None:
        """One is no more. Those that ended otherwise than with an answer say nothing."""
        if is_whole and self.num_waiting:
            self._ends.happened(now_ns)
        self.num_open -= 1
        self.num_waiting -= not has_begun

    def drain_ns(self) -> int:
        """Until all that is inside has ended: their number over the rate at which they end."""
        return self._ends.of(self.num_open)

    def check(self, within_ns: int) -> None:
        """Raises QueueFull where an answer that is asked for now cannot be whole within that time,
        as fast as they come; facts carry `retry_after_ns`, after which it could.

        Where nobody waits, nobody is refused: what was slow before may not be so any more.
        """
        if not self.num_waiting or len(self._ends) < LEAST:
            return
        needed_ns = int(MARGIN * self._ends.of(self.num_open + 1))
        if needed_ns > within_ns:
            raise QueueFull(
                f"{self.num_open} requests are inside, and one more would be answered in about "
                f"{needed_ns / NS_PER_S:.3g} s of the cluster's time: its deadline is in "
                f"{within_ns / NS_PER_S:.3g} s",
                retry_after_ns=needed_ns - within_ns,
            )
