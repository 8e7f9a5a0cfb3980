"""Max-min fair shares of flows over several resources, where somebody joins or leaves all the time.

`workers/hardware/sharing/paths.py` is the same algorithm in Python, and what this is compared with:
both name the same ends, to the ns.

shares = Shares()
hop = shares.add(10**9)                       # units a second
way = shares.way([hop])
flow = shares.join(0, 1_000, way)             # at 0 ns; a flow is a number
shares.next_end_ns()                          # 1000
shares.end(1_000), shares.end(1_000)          # flow, -1
"""

from collections.abc import Sequence

import numpy as np

from kernels.native import lib

# Whether there is a library, and one that has this op.
available = hasattr(lib, "paths_join_ranked")
RATE_MAX = 10**15  # units a second of one resource


class Shares:
    """Resources, ways over them, and flows, all by number. Nothing is checked twice: a number that
    is none raises ValueError.
    """

    def __init__(self, saved: bytes | None = None) -> None:
        """saved: of another one, whose numbers are this one's; see `saved`. Raises ValueError where
        it is none.
        """
        assert available, "whoever asks for this has looked whether it is there"
        if saved is None:
            self._stored = lib.paths_create()
        else:
            self._stored = lib.paths_load(np.frombuffer(saved, dtype=np.uint8))

    def saved(self) -> bytes:
        """All that there is, for a process that runs the same library."""
        room = np.empty(self._room, dtype=np.uint8)
        while (size := int(lib.paths_save(self._stored, room))) > len(room):
            self._room = 2 * size
            room = np.empty(self._room, dtype=np.uint8)
        return room[:size].tobytes()

    _room = 1 << 14

    def add(self, rate_per_s: int) -> int:
        """A resource of so many units a second, 1 .. RATE_MAX."""
        return int(lib.paths_add(self._stored, rate_per_s))

    def way(self, hops: Sequence[int]) -> int:
        """A way over these, each once."""
        return int(lib.paths_way(self._stored, np.asarray(hops, dtype=np.int32)))

    def join(
        self,
        now_ns: int,
        amount: int,
        way: int,
        limit_per_s: int = -1,
        weight: int = 1,
        rank: int = 0,
    ) -> int:
        """A flow of so many units, fewer than 2^48, joins; see `Paths.join`. limit -1: none."""
        asked = now_ns, amount, way, limit_per_s, weight, rank
        flow: int = lib.paths_join_ranked(self._stored, *asked)
        return flow

    def leave(self, now_ns: int, flow: int) -> None:
        """It has not ended."""
        lib.paths_leave(self._stored, now_ns, flow)

    def next_end_ns(self) -> int:
        """-1: nothing flows."""
        end_ns: int = lib.paths_next(self._stored)
        return end_ns

    def end(self, now_ns: int) -> int:
        """A flow that has ended by then, the earliest first; -1: all that have were told, and time
        goes on to `now_ns`.
        """
        flow: int = lib.paths_end(self._stored, now_ns)
        return flow

    def busy_ns(self, hop: int) -> int:
        return int(lib.paths_hop(self._stored, hop, 0))

    def served(self, hop: int) -> int:
        return int(lib.paths_hop(self._stored, hop, 1))

    def num_flows(self, hop: int) -> int:
        return int(lib.paths_hop(self._stored, hop, 2))

    def peak(self, hop: int) -> int:
        return int(lib.paths_hop(self._stored, hop, 3))
