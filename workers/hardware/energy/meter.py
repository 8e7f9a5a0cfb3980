"""A node's energy meter: counters of every component by phase, and the timeline beside them.

Counters are whole amounts (operations, bytes, a resource's own unit), so sums are exact; energy is
amount x energy of a unit, as fractions until it is told.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from workers.hardware.energy.phase import NUM_PHASES, Cause, Phase
from workers.hardware.energy.timeline import Drawing, Timeline
from workers.hardware.sharing.base import Ended


@dataclass(frozen=True, slots=True)
class Reading:
    """What one incarnation of a node drew since its meter began. Joules, ns of emulated time.

    is_restarted  its meter began when it was asked to, not when the incarnation did
    dynamic       component -> phase -> joules, of those that drew anything
    static_joules   idle watts x time
    accounts      "machine", "link": what hardware and egress summed up by themselves, in floats
    drawn_joules  the timeline's integral, without idle power
    bucket_ns, buckets   the timeline: joules in each span of time from `begin_ns` on, static ones
                  among them
    open_joules   of what has begun and not ended: in `dynamic`, in no bucket
    """

    begin_ns: int
    until_ns: int
    is_restarted: bool
    dynamic: dict[str, dict[str, float]]
    static_joules: float
    accounts: dict[str, float]
    drawn_joules: float
    bucket_ns: int
    buckets: list[float]
    open_joules: float


class Component:
    """One part that draws: an engine's dtype, a tier's direction, a resource, the link's egress."""

    __slots__ = ("_amounts", "_meter", "_unit_joules")

    def __init__(self, meter: "Meter", unit_joules: float) -> None:
        self._meter, self._unit_joules = meter, unit_joules
        self._amounts = [0] * NUM_PHASES

    def count(self, amount: int, cause: Cause, times: int = 1) -> None:
        """So much was asked for, so many times."""
        if isinstance(cause, tuple):
            prefill = amount * cause[0] // (cause[0] + cause[1])
            self._amounts[Phase.PREFILL] += prefill * times
            self._amounts[Phase.DECODE] += (amount - prefill) * times
        else:
            self._amounts[cause] += amount * times

    def until(self, begin_ns: int, amount: int, told: Ended) -> Ended:
        """Draws from then on, until it is told the end, and tells it."""
        drawing = Drawing(self._meter.timeline, begin_ns, amount * self._unit_joules)
        return partial(_ends, drawing, told)

    def restart(self) -> None:
        self._amounts = [0] * NUM_PHASES

    def joules(self) -> dict[Phase, Fraction]:
        """Exactly amount x unit, of the phases that asked for anything."""
        unit = Fraction(self._unit_joules)
        return {phase: self._amounts[phase] * unit for phase in Phase if self._amounts[phase]}


class Meter:
    """Of one incarnation of a node, from when it stands or was last restarted."""

    def __init__(self, idle_watts: float, now_ns: int) -> None:
        self._idle_watts = idle_watts
        self._components: dict[str, Component] = {}
        self.timeline = Timeline(now_ns)
        self._is_restarted = False

    def component(self, name: str, unit_joules: float) -> Component | None:
        """One more; None where it draws nothing."""
        if not unit_joules:
            return None
        self._components[name] = component = Component(self, unit_joules)
        return component

    def restart(self, now_ns: int) -> None:
        """From now on. What is under way stays with the time before, and so does its end."""
        self.timeline, self._is_restarted = Timeline(now_ns), True
        for component in self._components.values():
            component.restart()

    def read(self, now_ns: int, accounts: dict[str, float]) -> Reading:
        """Everything until now."""
        begin_ns = self.timeline.origin_ns
        told = self.timeline.copy()
        drawn_joules = sum(told.buckets())
        told.draw(begin_ns, now_ns, self._idle_watts * (now_ns - begin_ns) * 1e-9)
        buckets = told.buckets()
        return Reading(
            begin_ns,
            now_ns,
            self._is_restarted,
            {name: by for name, component in self._components.items() if (by := _told(component))},
            float(Fraction(self._idle_watts) * (now_ns - begin_ns) / 10**9),
            accounts,
            drawn_joules,
            told.width_ns,
            buckets,
            told.open_joules,
        )


def _ends(drawing: Drawing, told: Ended, end_ns: int) -> None:
    drawing.ended(end_ns)
    told(end_ns)


def _told(component: Component) -> dict[str, float]:
    return {phase.name.lower(): float(joules) for phase, joules in component.joules().items()}
