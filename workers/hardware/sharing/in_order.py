"""First come, first served, by one server or by several: an end is certain when its flow joins.

What has joined is served: a launched kernel is not recalled, and what stands in a queue is sent. So
no end ever changes, and nobody needs a timer but the one who waits.
"""

import heapq

from workers.hardware.sharing.base import Ended, Rate, duration_ns
from workers.hardware.sharing.fair import GRAINS, grains, part_of

NEVER_NS = 1 << 100


class Fifo:
    """One server.

    Who came first is served first, as fast as it can take: all of the server, or up to a limit of
    its own. What that leaves open goes to those behind it, in their order, so at no time more is
    served than the server can.
    """

    __slots__ = ("_open", "_taken", "_taken_ns", "free_ns")

    def __init__(self) -> None:
        self.free_ns = 0  # until then it is wholly taken
        # After that, where limited flows are: (until, grains a ns that they leave), in order.
        self._open: list[tuple[int, int]] = []
        self._taken_ns = 0  # by those who took it whole
        self._taken = 0  # grains, by limited ones and by those beside them

    def saved(self) -> tuple[int, tuple[tuple[int, int], ...], int, int]:
        """All that it knows: `restore` goes on from there."""
        return self.free_ns, tuple(self._open), self._taken_ns, self._taken

    def restore(self, saved: tuple[int, tuple[tuple[int, int], ...], int, int]) -> None:
        self.free_ns, still_open, self._taken_ns, self._taken = saved
        self._open = list(still_open)

    def join(self, now_ns: int, service_ns: int) -> int:
        """Queue behind all others; returns the end."""
        if self._open:
            return self.take(now_ns, service_ns * GRAINS)[1]
        begin_ns = now_ns if now_ns > self.free_ns else self.free_ns
        self.free_ns = begin_ns + service_ns
        self._taken_ns += service_ns
        return self.free_ns

    def is_idle(self, now_ns: int) -> bool:
        """Whether who joins now is served at once, and nobody beside it."""
        return not self._open and self.free_ns <= now_ns

    def again(self, start_ns: int, every_ns: int, times: int, service_ns: int) -> int:
        """`join` so many times, each when it is idle; returns the last end."""
        self.free_ns = start_ns + (times - 1) * every_ns + service_ns
        self._taken_ns += times * service_ns
        return self.free_ns

    def take(self, now_ns: int, wanted: int, limit: int = GRAINS) -> tuple[int, int]:
        """Queue for so many grains, at most `limit` of them a ns; returns (begin, end)."""
        at_ns = self._forget(now_ns)
        begin_ns, after = NEVER_NS, list[tuple[int, int]]()
        segments = iter([*self._open, (NEVER_NS, GRAINS)])
        for until_ns, left in segments:
            rate = min(limit, left)
            if not rate:
                after.append((until_ns, left))
                at_ns = until_ns
                continue
            begin_ns = min(begin_ns, at_ns)
            took_ns = min(-(-wanted // rate), until_ns - at_ns)
            wanted -= rate * took_ns
            self._taken += rate * took_ns
            at_ns += took_ns
            after.append((at_ns, left - rate))
            if wanted <= 0:
                after.append((until_ns, left))
                break
        self._keep([*after, *segments])
        return begin_ns, at_ns

    def _forget(self, now_ns: int) -> int:
        """What is past cannot be taken; returns from when on something may be."""
        while self._open and self._open[0][0] <= now_ns:
            self.free_ns = self._open.pop(0)[0]
        self.free_ns = max(self.free_ns, now_ns)
        return self.free_ns

    def _keep(self, segments: list[tuple[int, int]]) -> None:
        """Those that last, up to the one that never ends; where nothing is left it is not free."""
        kept = list[tuple[int, int]]()
        begin_ns = self.free_ns
        for until_ns, left in segments:
            if until_ns == NEVER_NS:
                break
            if until_ns > begin_ns:
                if left or kept:
                    kept.append((until_ns, left))
                else:
                    self.free_ns = until_ns
                begin_ns = until_ns
        self._open = kept

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        *_: int,
    ) -> None:
        """Pieces follow each other here: how many they are says nothing."""
        if limit_per_s is None:
            ended(self.join(now_ns, duration_ns(amount, rate_per_s)))
        else:
            limit = min(GRAINS, part_of(limit_per_s, rate_per_s))
            ended(self.take(now_ns, grains(amount, rate_per_s), limit)[1])

    def begins_ns(self, now_ns: int) -> int:
        begin_ns = max(now_ns, self.free_ns)
        for until_ns, left in self._open:
            if until_ns > begin_ns and left:
                break
            begin_ns = max(begin_ns, until_ns)
        return begin_ns

    def worked(self, took_ns: int) -> None:
        """So long it has worked for somebody who keeps its time."""
        self._taken_ns += took_ns

    def busy_ns(self, now_ns: int) -> int:
        # From now until it is free it works without a gap, and that is still to come.
        to_come = max(0, self.free_ns - now_ns) * GRAINS
        begin_ns = max(now_ns, self.free_ns)
        for until_ns, left in self._open:
            to_come += max(0, until_ns - begin_ns) * (GRAINS - left)
            begin_ns = max(begin_ns, until_ns)
        return self._taken_ns + (self._taken - to_come) // GRAINS


class Servers:
    """`num_servers` alike, each with an equal share of the rate: planes, banks, channels.

    Each piece goes to the server that is free first. n pieces of d ns therefore end at the n
    smallest of all times free + j d (j = 1, 2, ...) of all servers, which is found without going
    through the pieces one by one: a scan of a flash device has millions.
    """

    __slots__ = ("_free_ns", "_taken_ns", "num")

    def __init__(self, num_servers: int) -> None:
        self.num = num_servers
        self._free_ns = [0] * num_servers  # a heap: when each server is free
        self._taken_ns = 0

    def join(self, now_ns: int, piece_ns: int, pieces: int = 1) -> int:
        """Queue pieces that take one server `piece_ns` each; returns when the last one ends."""
        self._taken_ns += piece_ns * pieces
        end_ns = now_ns
        if not piece_ns:
            pieces = min(pieces, 1)
        if pieces > len(self._free_ns):
            end_ns, pieces = self._fill(now_ns, piece_ns, pieces)
        for _ in range(pieces):
            last_ns = max(now_ns, self._free_ns[0]) + piece_ns
            heapq.heapreplace(self._free_ns, last_ns)
            end_ns = max(end_ns, last_ns)
        return end_ns

    def _fill(self, now_ns: int, piece_ns: int, pieces: int) -> tuple[int, int]:
        """Serve all pieces but fewer than there are servers; returns (last end, pieces left).

        As water fills a vessel: in total the pieces reach `level`, and every end up to it is among
        the smallest, because at most as much fits below it as was poured.
        """
        free_ns = sorted(self._free_ns)
        total_ns, wet = pieces * piece_ns, 0
        for wet, at_ns in enumerate(free_ns, start=1):
            total_ns += max(now_ns, at_ns)
            if wet == len(free_ns) or total_ns <= wet * free_ns[wet]:
                break
        level_ns, end_ns = total_ns // wet, now_ns
        for i in range(wet):
            begin_ns = max(now_ns, free_ns[i])
            if here := (level_ns - begin_ns) // piece_ns:
                pieces -= here
                free_ns[i] = begin_ns + here * piece_ns
                end_ns = max(end_ns, free_ns[i])
        heapq.heapify(free_ns)
        self._free_ns = free_ns
        return end_ns, pieces

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        pieces: int = 1,
    ) -> None:
        piece_ns = duration_ns(amount * len(self._free_ns), rate_per_s * pieces)
        end_ns = self.join(now_ns, piece_ns, pieces)
        if limit_per_s is not None:
            end_ns = max(end_ns, now_ns + duration_ns(amount, limit_per_s))
        ended(end_ns)

    def begins_ns(self, now_ns: int) -> int:
        return max(now_ns, self._free_ns[0])

    def busy_ns(self, now_ns: int) -> int:
        to_come = sum(max(0, at_ns - now_ns) for at_ns in self._free_ns)
        return (self._taken_ns - to_come) // len(self._free_ns)
