"""One direction of a link, messages in order: as `workers.wire.lane.FifoLane` has it, to the ns.

A message whose sender is slower than this lane takes a part of it, and what it leaves those behind
it have.
"""

import math

GRAINS = math.lcm(*range(1, 33)) << 20  # of a lane's ns, as in workers.hardware.sharing.fair
NEVER_NS = 1 << 100


class Lane:
    """limit_per_s   no message moves faster; 0: as fast as the lane"""

    __slots__ = ("_bytes_per_s", "_limit_per_s", "_open", "busy_ns", "free_ns")

    def __init__(self, bytes_per_s: int, limit_per_s: int = 0) -> None:
        self._bytes_per_s, self._limit_per_s = bytes_per_s, limit_per_s
        self.free_ns = self.busy_ns = 0
        self._open: list[tuple[int, int]] = []  # after that: (until, grains a ns that are left)

    def start(self, now_ns: int, num_bytes: int) -> tuple[int, int]:
        """When its first byte moves, and when its last has."""
        self.busy_ns += -(-num_bytes * 1_000_000_000 // self._bytes_per_s)
        return self.start_other(now_ns, num_bytes, self._limit_per_s)

    def start_other(self, now_ns: int, num_bytes: int, limit_per_s: int) -> tuple[int, int]:
        """A message of somebody else, who counts it, and has a limit of its own; 0: none."""
        if self._open or 0 < limit_per_s < self._bytes_per_s:
            wanted = -(-num_bytes * 1_000_000_000 * GRAINS // self._bytes_per_s)
            limit = -(-GRAINS * limit_per_s // self._bytes_per_s) or GRAINS
            return self._take(now_ns, wanted, min(limit, GRAINS))
        begin_ns = max(now_ns, self.free_ns)
        self.free_ns = begin_ns - (-num_bytes * 1_000_000_000 // self._bytes_per_s)
        return begin_ns, self.free_ns

    def _take(self, now_ns: int, wanted: int, limit: int) -> tuple[int, int]:
        while self._open and self._open[0][0] <= now_ns:
            self.free_ns = self._open.pop(0)[0]
        self.free_ns = at_ns = max(self.free_ns, now_ns)
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
            at_ns += took_ns
            after.append((at_ns, left - rate))
            if wanted <= 0:
                after.append((until_ns, left))
                break
        self._keep([*after, *segments])
        return begin_ns, at_ns

    def _keep(self, segments: list[tuple[int, int]]) -> None:
        kept, begin_ns = list[tuple[int, int]](), self.free_ns
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
