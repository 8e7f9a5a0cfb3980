"""What else the machine and the link of a folded chip do beside its steps: KV that is read and
written, sent and received, and messages of the router.

    memory   ▓▓ launch ▓▓│░░ KV ░░│┄┄┄┄          a launch that is under way has joined the queue,
                          └ late ┘▓▓ next ▓▓     and the next one waits for whoever came before it
    link     the engine keeps both lanes: dispatch and combine queue up with all others

Launches need not be told one by one: who looks at a queue has the one that is under way join it
first, from when it began.
"""

import math
from collections.abc import Sequence

from kernels.fold import UnderWay
from workers.fold.costs import Cost
from workers.fold.engine import Engine
from workers.fold.launches import Measure
from workers.hardware.hardware import Hardware
from workers.hardware.sharing.base import Ended, Rate, Shared
from workers.hardware.sharing.in_order import Fifo
from workers.wire.endpoint import Endpoint
from workers.wire.lane import FifoLane, Traveller


class Beside:
    """Of one chip. Its hardware's queues and its endpoint's lanes become ours."""

    def __init__(self, engine: Engine, number: int, hardware: Hardware, endpoint: Endpoint) -> None:
        self._engine, self._number, self._hardware = engine, number, hardware
        self._costs: Sequence[Cost] = ()
        # The launch that was seen last: its step and exchange, which one of that exchange, when it
        # began, and how long it and the next one wait.
        self._at, self._index, self._begin_ns = (-1, -1), 0, 0
        self._late_ns = self._next_late_ns = 0
        self._counted = dict[str, int]()
        ours = dict[Shared, Fifo]()  # the two directions of a bus have one
        for resource in hardware.resources.values():
            if isinstance(resource.shared, Fifo):  # not what no step asks for: the host's texts
                resource.shared = ours.setdefault(resource.shared, _Queue(self))
        bytes_per_s = endpoint.link.bytes_per_s
        endpoint.egress.lane = OutLane(bytes_per_s, engine, number)
        endpoint.ingress.lane = InLane(bytes_per_s, engine, number)

    def begin(self, costs: Sequence[Cost], now_ns: int) -> None:
        """A stretch; told before it is the engine's."""
        self._costs, self._at = costs, (-1, -1)
        self._hold(costs[0].launches(0)[0], now_ns)

    def counted(self) -> dict[str, int]:
        """For how long each resource has counted the launches of a step that is over; forgotten."""
        counted, self._counted = self._counted, {}
        return counted

    # -- a queue's side ----------------------------------------------------------------------------

    def looked_at(self, now_ns: int) -> UnderWay | None:
        """Have the launch that is under way join its queues; returns it."""
        under_way = self._engine.under_way(self._number, now_ns)
        if under_way is None or not under_way.is_launching:
            return under_way
        launches = self._costs[under_way.step].launches(under_way.exchange)
        at = under_way.step, under_way.exchange
        is_new = at != self._at
        if is_new:
            self._at, self._index, self._next_late_ns = at, 0, 0
            self._begin_ns, self._late_ns = under_way.begin_ns, under_way.late_ns
        while self._index + 1 < len(launches) and self._end_ns(launches) <= now_ns:
            self._begin_ns = self._end_ns(launches)
            self._index += 1
            self._late_ns, self._next_late_ns, is_new = self._next_late_ns, 0, True
        if is_new:
            self._join(launches[self._index])
        return under_way

    def joined(self, now_ns: int, under_way: UnderWay) -> None:
        """Somebody else has joined: the next launch that asks for it is behind."""
        step, exchange = under_way.step, under_way.exchange
        if under_way.is_launching:
            launches = self._costs[step].launches(exchange)
            if self._index + 1 < len(launches):
                self._lengthen(launches, now_ns)
            exchange += 1
            if exchange > self._costs[step].exchanges:
                step, exchange = step + 1, 0
        if step < len(self._costs):
            self._hold(self._costs[step].launches(exchange)[0], now_ns)

    # -- how late ----------------------------------------------------------------------------------

    def _end_ns(self, launches: Sequence[Measure]) -> int:
        return self._begin_ns + self._late_ns + launches[self._index].took_ns

    def _join(self, measure: Measure) -> None:
        joined = list[Fifo]()
        for name, asked in measure.resources.items():
            fifo = self._queue(name)
            if any(fifo is one for one in joined):
                continue  # the other direction of a bus, which has the time of both already
            joined.append(fifo)
            fifo.join(self._begin_ns, asked.busy_ns)
            self._counted[name] = self._counted.get(name, 0) + asked.busy_ns

    def _queue(self, name: str) -> Fifo:
        shared = self._hardware.resources[name].shared
        assert isinstance(shared, Fifo), "a fold's machines serve in order"
        return shared

    def _until_ns(self, measure: Measure, now_ns: int) -> int:
        """A launch that begins before this ends as much later. What it needs less of than of its
        slowest resource may be late by the difference.
        """
        slowest_ns = max((asked.taken_ns for asked in measure.resources.values()), default=0)
        until_ns = 0
        for name, asked in measure.resources.items():
            fifo = self._queue(name)
            if not fifo.is_idle(now_ns):
                saved = fifo.saved()
                free_ns = fifo.join(now_ns, asked.busy_ns) - asked.busy_ns
                fifo.restore(saved)
                until_ns = max(until_ns, free_ns - (slowest_ns - asked.taken_ns))
        return until_ns

    def _hold(self, measure: Measure, now_ns: int) -> None:
        until_ns = self._until_ns(measure, now_ns)
        self._engine.hold(self._number, now_ns, until_ns, self._hardware.slow)

    def _lengthen(self, launches: Sequence[Measure], now_ns: int) -> None:
        """The next one follows within the same exchange, which the engine knows as one launch."""
        until_ns = self._until_ns(launches[self._index + 1], now_ns)
        late_ns = math.ceil(max(0, until_ns - self._end_ns(launches)) * self._hardware.slow)
        if late_ns > self._next_late_ns:
            self._engine.lengthen(self._number, now_ns, late_ns - self._next_late_ns)
            self._next_late_ns = late_ns


class _Queue(Fifo):
    __slots__ = ("_beside",)

    def __init__(self, beside: Beside) -> None:
        super().__init__()
        self._beside = beside

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        *pieces: int,
    ) -> None:
        under_way = self._beside.looked_at(now_ns)
        super().serve(now_ns, amount, rate_per_s, ended, limit_per_s, *pieces)
        if under_way is not None:
            self._beside.joined(now_ns, under_way)

    def begins_ns(self, now_ns: int) -> int:
        self._beside.looked_at(now_ns)
        return super().begins_ns(now_ns)


class _EngineLane(FifoLane):
    """A lane whose order the engine keeps. What it counts is what others send: the engine counts
    its own.
    """

    __slots__ = ("_engine", "_last_ns", "_number")

    def __init__(self, bytes_per_s: int, engine: Engine, number: int) -> None:
        super().__init__(bytes_per_s)
        self._engine, self._number, self._last_ns = engine, number, 0

    def _passed(self, num_bytes: int, end_ns: int) -> tuple[int, int]:
        self._last_ns = took_ns = -(-num_bytes * 1_000_000_000 // self._bytes_per_s)
        self.free_ns = end_ns
        self._taken_ns += took_ns
        return end_ns - took_ns, end_ns

    def busy_ns(self, now_ns: int) -> int:
        return self._taken_ns - min(max(0, self.free_ns - now_ns), self._last_ns)


class OutLane(_EngineLane):
    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        return self._passed(num_bytes, self._engine.leave(self._number, now_ns, num_bytes))


class InLane(_EngineLane):
    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        end_ns = self._engine.come(self._number, now_ns, num_bytes, limit_bytes_per_s)
        return self._passed(num_bytes, end_ns)
