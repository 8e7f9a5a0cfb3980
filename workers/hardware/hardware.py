"""The machine under a node: its resources, and `run`.

`run` takes the resources that the work declares from the due time of what triggered it, computes
the numbers, and returns when the emulated time is due. A tier that is slower than compute hides
compute, and the reverse (a roofline): all demands begin together, and the work is done when the
last of them is.

    due of trigger ─┬─ compute.bf16 ████████░░░░ ┐
                    ├─ hbm.read     ██████████████ ├─ last one done + launch overhead = due
                    └─ hbf.read     ██░░░░░░░░░░ ┘
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from configs.schema.device import MAIN_ENGINE, DeviceSpec
from configs.totals import idle_watts
from workers.hardware.ahead import ReadAhead
from workers.hardware.bus import Buses
from workers.hardware.energy.meter import Meter
from workers.hardware.energy.phase import OF_WORK, Cause, Phase
from workers.hardware.launch import Launch
from workers.hardware.machine import host_size, resources_of
from workers.hardware.resource import Resource
from workers.hardware.row import Rows
from workers.hardware.sharing.base import Ended
from workers.hardware.work import Demand, Work
from workers.host.aside import IN_LINE_MAX, Aside
from workers.host.clock.base import Clock
from workers.host.rng import Rng
from workers.host.trace import Ran, Trace

P = ParamSpec("P")
R = TypeVar("R")

# Below this many operations a kernel ends sooner than a hand-over to the compute thread takes (some
# 60 us in all on a 2-core machine, where 2e7 fp32 operations take about 1 ms at most), and the
# event loop may wait for it.
IN_LINE_FLOPS_MAX = 20_000_000


class Hardware:
    """Resources of one machine, shared by all workers that stand on its node.

    thread   where models are computed; None computes everything in line
    aside    where what users send is worked on
    rng      of what flash draws: where reads lie that do not say, which pages are read twice
    slow     how many times as long its launches take; what they ask for is served as ever
    """

    def __init__(
        self,
        node: str,
        spec: DeviceSpec,
        clock: Clock,
        trace: Trace,
        thread: Executor | None,
        aside: Aside | None = None,
        rng: Rng | None = None,
        slow: float = 1.0,
    ) -> None:
        self._node, self.spec, self._clock = node, spec, clock
        self._trace, self._thread, self._aside = trace, thread, aside
        self._resources: Mapping[str, Resource] = resources_of(spec, clock, rng or Rng(0), node)
        self._ahead = {
            f"{name}.read": ReadAhead(self._resources[f"{name}.read"], tier.buffer_bytes // 2)
            for name, tier in spec.tiers.items()
            if tier.buffer_bytes is not None
        }
        self._engines = (MAIN_ENGINE, *spec.engines)
        self._buses = Buses.of(spec)
        self._copy = [f"{spec.default_tier}.write", f"{spec.default_tier}.read"]
        if spec.tiers[spec.default_tier].bus_bytes_per_s is not None:
            self._copy += 2 * [f"{spec.default_tier}.bus"]
        self._launch_overhead_ns = overhead_ns = spec.launch_overhead_ns
        crosses = self._buses is not None
        self._rows = Rows(clock, self._resources, self._begin, overhead_ns, slow, crosses=crosses)
        self._joules = 0.0
        self._meter = Meter(idle_watts(spec), clock.wall_now())
        for name, resource in self._resources.items():
            resource.metered(self._meter, name)

    def run(
        self, work: Work, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """`run_for` whatever work of that name is done for."""
        return self.run_for(OF_WORK.get(work.name, Phase.SERVING), work, kernel, *args, **kwargs)

    async def run_for(
        self, cause: Cause, work: Work, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do `work`: compute `kernel(*args)` and return its result when the emulated time is due.

        A run that is cancelled has been launched all the same, and its resources serve it to the
        end. Raises ValueError if the work names a resource that this machine lacks.
        """
        start_ns = self._clock.now()
        if work.times > 1 and self._clock.emulated:
            result = kernel(*args, **kwargs)
            due_ns, joules = await self._rows.run(cause, work, start_ns)
            self._ran(work, start_ns, due_ns, joules, self._clock.wall_now())
            return result
        launch = self.launch(work, start_ns, cause) if self._clock.emulated else None
        if self._is_small(work):
            result = kernel(*args, **kwargs)
        else:
            result = await self._elsewhere(work, lambda: kernel(*args, **kwargs))
        if launch is None:
            return result
        computed_ns = self._clock.wall_now()
        if launch.num_open:
            await launch.certain()
        due_ns = launch.due_ns
        await self._clock.wait_until(due_ns)
        self._ran(work, start_ns, due_ns, launch.joules, computed_ns)
        return result

    def _ran(self, work: Work, start_ns: int, due_ns: int, joules: float, computed_ns: int) -> None:
        took_ns, late_ns = due_ns - start_ns, computed_ns - due_ns
        self._trace.add(Ran(due_ns, self._node, work.name, took_ns, joules, late_ns))

    @property
    def slow(self) -> float:
        """How many times as long launches take, from the next one on."""
        return self._rows.slow

    @slow.setter
    def slow(self, slow: float) -> None:
        self._rows.settle()
        self._rows.slow = slow

    @property
    def slow_until_ns(self) -> int:
        """Until when launches go on that began while it was slow: they stay as slow."""
        return self._rows.slow_until_ns

    @property
    def resources(self) -> Mapping[str, Resource]:
        self._rows.settle()
        return self._resources

    @property
    def meter(self) -> Meter:
        self._rows.settle()
        return self._meter

    @property
    def joules(self) -> float:
        """Of all launches so far."""
        self._rows.settle()
        return self._joules + self._rows.joules

    @joules.setter
    def joules(self, joules: float) -> None:
        self._joules, self._rows.joules = joules, 0.0

    async def compute(self, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute beside the event loop, and return its result. It declares no work, so it is for
        clocks without emulation alone.
        """
        assert not self._clock.emulated, "emulated work is declared"
        return await self._on_thread(kernel, *args, **kwargs)

    async def beside(self, size: int, job: Callable[[], R]) -> R:
        """Beside the event loop, do what no machine is charged for: `size` scalar operations."""
        return job() if self._aside is None else await self._aside.run(size, job)

    def launch(
        self, work: Work, start_ns: int, cause: Cause = Phase.SERVING, overhead: bool = True
    ) -> Launch:
        """Begin `work`: all its demands at once. Counts its energy. `overhead`: of a launch. Raises
        ValueError, with nothing begun, if the work names a resource that is not there.
        """
        if self._rows.going is not None:
            self._rows.settle()
        return self._begin(work, start_ns, cause, overhead)

    def _begin(self, work: Work, start_ns: int, cause: Cause, overhead: bool = True) -> Launch:
        if self._buses is not None:
            work = self._buses.crossed(work)
        try:
            asked = [self._resources[demand.resource] for demand in work.demands]
        except KeyError as error:
            known = ", ".join(self._resources)
            raise ValueError(
                f"work {work.name!r} asks for {error.args[0]!r}; {self.spec.name} has {known}"
            ) from None
        overhead_ns = self._launch_overhead_ns if overhead else 0
        launch = self._rows.launch(start_ns, len(asked), overhead_ns)
        ended, joules = launch.ended, 0.0
        for resource, demand in zip(asked, work.demands, strict=True):
            joules += self._take(resource, start_ns, demand, ended, cause)
        launch.joules = joules
        self._joules += joules
        return launch

    def _take(
        self, resource: Resource, start_ns: int, demand: Demand, ended: Ended, cause: Cause
    ) -> float:
        """Returns the joules that it costs."""
        if demand.ahead and demand.resource in self._ahead:
            return self._ahead[demand.resource].take(start_ns, demand, ended, cause)
        return resource.take(start_ns, demand, ended, cause)

    def copy(
        self, start_ns: int, num_bytes: int, ended: Ended, cause: Cause = Phase.SERVING
    ) -> None:
        """Pass a message between two workers of this machine: it costs its memory, not a link.

        ended   told when it is there, as soon as that is certain
        """
        self._rows.settle()
        copying = Launch(start_ns, len(self._copy))
        for name in self._copy:
            resource, demand = self._resources[name], Demand(name, num_bytes)
            self._joules += self._take(resource, start_ns, demand, copying.ended, cause)
        copying.then(ended)

    def latencies(self) -> dict[str, dict[int, int]]:
        """Of each tier with banks how long its pages took so far, each way: a histogram
        (`workers.hardware.latencies`).
        """
        return {
            name: dict(resource.latencies.counts)
            for name, resource in self._resources.items()
            if resource.latencies is not None
        }

    def _is_small(self, work: Work) -> bool:
        """Whether the event loop may wait for its numbers, be its dtypes the device's or not."""
        if self._thread is None:
            return True
        return self._operations(work) < IN_LINE_FLOPS_MAX and host_size(work) < IN_LINE_MAX

    def _operations(self, work: Work) -> int:
        """Of engines that compute models."""
        return sum(d.amount for d in work.demands if d.resource.partition(".")[0] in self._engines)

    async def _elsewhere(self, work: Work, job: Callable[[], R]) -> R:
        """Texts and such have threads of their own: a model's next step does not wait for them."""
        if self._aside is None or self._operations(work) >= IN_LINE_FLOPS_MAX:
            return await self._on_thread(job)
        return await self._aside.run(host_size(work), job)

    async def _on_thread(self, kernel: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: kernel(*args, **kwargs))
