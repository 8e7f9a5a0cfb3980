"""How long launches take on an idle machine, and what they ask of it: measured once on a machine of
that kind that nobody else uses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from configs.schema.device import DeviceSpec
from workers.hardware.hardware import Hardware
from workers.hardware.launch import slowed_ns
from workers.hardware.sharing.base import Rate
from workers.hardware.work import Demand, Work
from workers.host.clock.base import Clock
from workers.host.trace import Trace

# Launches that differ, of which the measures are kept.
KNOWN_MAX = 1 << 16


@dataclass(slots=True)
class Asked:
    """Of one resource: units asked for and moved, accesses, and how long it was busy and taken."""

    asked: int = 0
    moved: int = 0
    accesses: int = 0
    busy_ns: int = 0
    taken_ns: int = 0

    def add(self, other: "Asked", times: int = 1) -> None:
        self.asked += other.asked * times
        self.moved += other.moved * times
        self.accesses += other.accesses * times
        self.busy_ns += other.busy_ns * times
        self.taken_ns += other.taken_ns * times


def total(asked: Sequence[Asked]) -> Asked:
    """Of what follows each other."""
    return Asked(
        sum(one.asked for one in asked),
        sum(one.moved for one in asked),
        sum(one.accesses for one in asked),
        sum(one.busy_ns for one in asked),
        sum(one.taken_ns for one in asked),
    )


@dataclass(slots=True)
class Measure:
    """Of a launch, or of several that follow each other."""

    took_ns: int = 0
    resources: dict[str, Asked] = field(default_factory=dict)

    def add(self, other: "Measure", times: int = 1) -> None:
        self.took_ns += other.took_ns * times
        add_all(self.resources, other.resources, times)


def add_all(to: dict[str, Asked], what: Mapping[str, Asked], times: int = 1) -> None:
    for name, asked in what.items():
        to.setdefault(name, Asked()).add(asked, times)


class Bench:
    """A machine by itself. `slow`: how many times as long its launches take."""

    def __init__(self, spec: DeviceSpec, clock: Clock, slow: float = 1.0) -> None:
        self._hardware = Hardware("bench", spec, clock, Trace(), None)
        self._slow, self._free_ns = slow, 0
        self._known: dict[tuple[Demand, ...], Measure] = {}

    def rate(self, resource: str) -> Rate:
        """Units a second."""
        return self._hardware.resources[resource].work_rate

    def launch(self, work: Work) -> Measure:
        """Raises ValueError where the machine has not what the work asks for."""
        measure = self._known.get(work.demands)
        if measure is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[work.demands] = measure = self._measured(work)
        return measure

    def _measured(self, work: Work) -> Measure:
        start_ns, before = self._free_ns, self._looked(self._free_ns)
        launch = self._hardware.launch(work, start_ns)
        assert not launch.num_open, "a folded machine serves in order"
        self._free_ns = launch.due_ns
        after, asked = self._looked(launch.due_ns), dict[str, Asked]()
        for name, now in after.items():
            more = Asked(*(later - sooner for later, sooner in zip(now, before[name], strict=True)))
            if more.accesses:
                asked[name] = more
        self._once(asked)
        return Measure(slowed_ns(launch.due_ns - start_ns, self._slow), asked)

    def _looked(self, now_ns: int) -> dict[str, tuple[int, ...]]:
        return {
            name: (*known.tally(), known.busy_ns(now_ns), known.taken.taken_ns(now_ns))
            for name, known in self._hardware.resources.items()
        }

    def _once(self, asked: Mapping[str, Asked]) -> None:
        """Two directions of one bus have one time, which is the first's."""
        seen = list[object]()
        for name, one in asked.items():
            resource = self._hardware.resources[name]
            if any(resource.shared is known for known in seen):
                one.busy_ns = 0
            if any(resource.taken is known for known in seen):
                one.taken_ns = 0
            seen += [resource.shared, resource.taken]


def together(measures: Iterable[Measure]) -> Measure:
    """Of launches that follow each other."""
    total = Measure()
    for measure in measures:
        total.add(measure)
    return total
