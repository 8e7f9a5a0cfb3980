"""First come, first served, by one server or by several: an end is certain when its flow joins.

What has joined is served: a launched kernel is not recalled, and what stands in a queue is sent. So
no end ever changes, and nobody needs a timer but the one who waits.
"""

import heapq

from workers.hardware.sharing.base import Ended, duration_ns


class Fifo:
    """One server."""

    __slots__ = ("_taken_ns", "free_ns")

    def __init__(self) -> None:
        self.free_ns = 0  # when all that has joined is done
        self._taken_ns = 0

    def join(self, now_ns: int, service_ns: int) -> int:
        """Queue behind all others; returns the end."""
        begin_ns = now_ns if now_ns > self.free_ns else self.free_ns
        self.free_ns = begin_ns + service_ns
        self._taken_ns += service_ns
        return self.free_ns

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: float,
        ended: Ended,
        limit_per_s: float = 0,
        pieces: int = 1,
    ) -> None:
        """A flow with a limit of its own takes longer, and holds up nobody by it: it comes in
        slowly while it waits and while others are served.
        """
        end_ns = self.join(now_ns, duration_ns(amount, rate_per_s))
        if limit_per_s:
            end_ns = max(end_ns, now_ns + duration_ns(amount, limit_per_s))
        ended(end_ns)

    def begins_ns(self, now_ns: int) -> int:
        return max(now_ns, self.free_ns)

    def busy_ns(self, now_ns: int) -> int:
        # From now until it is free it works without a gap, and that is still to come.
        return self._taken_ns - max(0, self.free_ns - now_ns)


class Servers:
    """`num_servers` alike, each with an equal share of the rate: planes, banks, channels.

    Each piece goes to the server that is free first. n pieces of d ns therefore end at the n
    smallest of all times free + j d (j = 1, 2, ...) of all servers, which is found without going
    through the pieces one by one: a scan of a flash device has millions.
    """

    __slots__ = ("_free_ns", "_taken_ns")

    def __init__(self, num_servers: int) -> None:
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
        rate_per_s: float,
        ended: Ended,
        limit_per_s: float = 0,
        pieces: int = 1,
    ) -> None:
        piece_ns = duration_ns(amount * len(self._free_ns), rate_per_s * pieces)
        end_ns = self.join(now_ns, piece_ns, pieces)
        if limit_per_s:
            end_ns = max(end_ns, now_ns + duration_ns(amount, limit_per_s))
        ended(end_ns)

    def begins_ns(self, now_ns: int) -> int:
        return max(now_ns, self._free_ns[0])

    def busy_ns(self, now_ns: int) -> int:
        to_come = sum(max(0, at_ns - now_ns) for at_ns in self._free_ns)
        return (self._taken_ns - to_come) // len(self._free_ns)
