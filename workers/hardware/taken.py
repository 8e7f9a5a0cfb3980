"""How long somebody asked for a resource: from the asking until all of it was there.

So of a run's time a resource is busy while it moves or computes, waits while somebody asks and it
does not (a latency, places that are taken, planes that sense), and is idle while nobody asks:

    asked     ├──────────────┤      ├────────┤
    busy          ▓▓▓▓▓▓▓▓▓▓           ▓▓▓▓
    waiting   ░░░░          ░       ░░░    ░░
    idle                      ▔▔▔▔▔▔          ▔▔▔
"""

from workers.hardware.sharing.base import Ended


class Taken:
    """The union of all demands' times. Whoever asks, asks no sooner than those before."""

    __slots__ = ("_before_ns", "_num_open", "_since_ns", "_until_ns")

    def __init__(self) -> None:
        self._before_ns = 0  # in stretches that are over
        self._since_ns = self._until_ns = 0  # of the last one, as far as its end is known
        self._num_open = 0  # demands whose end nobody knows yet

    def until(self, now_ns: int, ended: Ended) -> Ended:
        """It is asked for from now on, until it is told the end, and tells it."""
        if not self._num_open and now_ns > self._until_ns:
            self._before_ns += self._until_ns - self._since_ns
            self._since_ns = self._until_ns = now_ns
        self._num_open += 1

        def told(end_ns: int) -> None:
            self._num_open -= 1
            if end_ns > self._until_ns:
                self._until_ns = end_ns
            ended(end_ns)

        return told

    def was_taken(self, took_ns: int, now_ns: int) -> None:
        """So long somebody asked for it who keeps its time, until now; as far as others did
        meanwhile, at the same time.
        """
        self._before_ns += min(took_ns, now_ns - self.taken_ns(now_ns))

    def again(self, start_ns: int, every_ns: int, times: int, took_ns: int) -> None:
        """So many times, each when nobody else asks."""
        assert not self._num_open, "somebody asks"
        self._before_ns += self._until_ns - self._since_ns + (times - 1) * took_ns
        self._since_ns = start_ns + (times - 1) * every_ns
        self._until_ns = self._since_ns + took_ns

    def is_asked(self, now_ns: int) -> bool:
        """Whether somebody's end is still to come."""
        return self._num_open > 0 or self._until_ns > now_ns

    def taken_ns(self, now_ns: int) -> int:
        """How long until now."""
        until_ns = now_ns if self._num_open else min(now_ns, self._until_ns)
        return self._before_ns + max(0, until_ns - self._since_ns)
