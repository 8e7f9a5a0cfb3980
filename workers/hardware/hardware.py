"""The machine under a node: its compute, its memory tiers, and `run`.

`run` takes the resources that the work declares from the due time of what triggered it, computes
the numbers, and returns when the emulated time is due. A tier that is slower than compute hides
compute, and the reverse (a roofline): all resources start together, and the work is done when the
last of them is.

    due of trigger ─┬─ compute  ████████░░░░ ┐
                    ├─ hbm      ██████████████ ├─ last one done + launch overhead = due
                    └─ hbf      ██░░░░░░░░░░ ┘
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from configs.schema.device import DeviceSpec, TierSpec
from workers.hardware.resource import Resource
from workers.hardware.work import Work
from workers.host.clock.base import Clock
from workers.host.trace import Ran, Trace

P = ParamSpec("P")
R = TypeVar("R")

# Below this many operations a kernel ends sooner than a hand-over to the compute thread takes (some
# 60 us in all on a 2-core machine, where 2e7 fp32 operations take about 1 ms at most), and the
# event loop may wait for it.
IN_LINE_FLOPS_MAX = 20_000_000


class Tier:
    """One kind of memory: bandwidth each way, a latency per access, whole pages, and only so
    many in flight.
    """

    def __init__(self, name: str, spec: TierSpec) -> None:
        self.name, self.spec = name, spec
        self.reading = Resource(
            _reachable(spec.sustained_read_bytes_per_s, spec.read_latency_ns, spec)
        )
        self.writing = Resource(
            _reachable(spec.sustained_write_bytes_per_s, spec.write_latency_ns, spec)
        )

    def _paged(self, num_bytes: int) -> int:
        return -(-num_bytes // self.spec.page_bytes) * self.spec.page_bytes

    def read(self, start_ns: int, num_bytes: int) -> int:
        """Reserve a read; returns when its last byte is there."""
        return self.reading.reserve(start_ns, self._paged(num_bytes))[1] + self.spec.read_latency_ns

    def write(self, start_ns: int, num_bytes: int) -> int:
        return (
            self.writing.reserve(start_ns, self._paged(num_bytes))[1] + self.spec.write_latency_ns
        )

    def joules(self, read_bytes: int, written_bytes: int) -> float:
        picojoules = 8 * (
            read_bytes * self.spec.read_pj_per_bit + written_bytes * self.spec.write_pj_per_bit
        )
        return picojoules * 1e-12


def _reachable(bytes_per_s: float, latency_ns: int, spec: TierSpec) -> float:
    """Little's law: with Q pages of s bytes in flight, no more than Q x s / latency can arrive."""
    if not latency_ns:
        return bytes_per_s
    return min(bytes_per_s, spec.queue_depth * spec.page_bytes * 1e9 / latency_ns)


class Hardware:
    """Resources of one machine, shared by all workers that stand on its node."""

    def __init__(
        self, node: str, spec: DeviceSpec, clock: Clock, trace: Trace, thread: Executor | None
    ) -> None:
        self._node, self.spec, self._clock = node, spec, clock
        self._trace, self._thread = trace, thread
        self._compute = {
            dtype: Resource(rate * spec.compute_efficiency) for dtype, rate in spec.compute.items()
        }
        self.tiers: Mapping[str, Tier] = {
            name: Tier(name, tier) for name, tier in spec.tiers.items()
        }
        self.joules = 0.0

    async def run(self, work: Work, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do `work`: compute `kernel(*args)` and return its result when the emulated time is due.

        Raises ValueError if the work names a dtype or tier that this machine lacks.
        """
        start_ns = self._clock.now()
        if not self._clock.emulated:
            return await self._compute_numbers(work, kernel, *args, **kwargs)
        joules = self.joules
        due_ns = self.reserve(work, start_ns)
        joules = self.joules - joules
        result = await self._compute_numbers(work, kernel, *args, **kwargs)
        late_ns = self._clock.wall_now() - due_ns
        await self._clock.wait_until(due_ns)
        record = Ran(due_ns, self._node, work.name, due_ns - start_ns, joules, late_ns)
        self._trace.add(record)
        return result

    async def compute(self, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute beside the event loop, and return its result. It declares no work, so it is for
        clocks without emulation alone.
        """
        assert not self._clock.emulated, "emulated work is declared"
        return await self._on_thread(kernel, *args, **kwargs)

    def reserve(self, work: Work, start_ns: int) -> int:
        """Take the resources for `work`; returns when it is done. Counts its energy."""
        ends_ns = [start_ns]
        for dtype, operations in work.flops.items():
            ends_ns.append(self._rate(dtype, work).reserve(start_ns, operations)[1])
            self.joules += operations * self.spec.flop_pj * 1e-12
        for name, num_bytes in work.reads.items():
            ends_ns.append(self._tier(name, work).read(start_ns, num_bytes))
            self.joules += self._tier(name, work).joules(num_bytes, 0)
        for name, num_bytes in work.writes.items():
            ends_ns.append(self._tier(name, work).write(start_ns, num_bytes))
            self.joules += self._tier(name, work).joules(0, num_bytes)
        return max(ends_ns) + self.spec.launch_overhead_ns

    def copy_ns(self, start_ns: int, num_bytes: int) -> int:
        """When a message between two workers of this machine is there: it costs its memory, not
        a link.
        """
        tier = self.tiers[self.spec.default_tier]
        return max(tier.write(start_ns, num_bytes), tier.read(start_ns, num_bytes))

    def _rate(self, dtype: str, work: Work) -> Resource:
        if dtype not in self._compute:
            known = ", ".join(self._compute) or "no compute at all"
            raise ValueError(
                f"work {work.name!r} asks for {dtype} operations; {self.spec.name} has {known}"
            )
        return self._compute[dtype]

    def _tier(self, name: str, work: Work) -> Tier:
        if name not in self.tiers:
            known = ", ".join(self.tiers)
            raise ValueError(
                f"work {work.name!r} asks for tier {name!r}; {self.spec.name} has {known}"
            )
        return self.tiers[name]

    async def _compute_numbers(
        self, work: Work, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self._thread is None or sum(work.flops.values()) < IN_LINE_FLOPS_MAX:
            return kernel(*args, **kwargs)
        return await self._on_thread(kernel, *args, **kwargs)

    async def _on_thread(self, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: kernel(*args, **kwargs))
