"""What each component did with a run's time: busy, waiting and idle add up to it. Pure.

Busy is what a resource moved or computed, as time of the whole resource; waiting, while somebody
asks and it does not (a latency, places that are taken, planes that sense); idle, while nobody asks.
"""

from collections.abc import Mapping
from typing import Any

from workers.hardware.energy.meter import Reading
from workers.hardware.usage import Usage

LINK = "link"
SHOWN_MOST = 5


def utilisation(
    usage: Mapping[str, Usage], readings: Mapping[str, Reading]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Node -> resource -> "busy_ns", "waiting_ns", "idle_ns", their sum "span_ns", "utilisation"
    (busy / span) and "joules", without idle power; a link's are its sender's. Resources that nobody
    asked for are left out.
    """
    return {
        node: {
            name: {
                **told.states(name),
                "span_ns": told.span_ns,
                "utilisation": told.busy_ns[name] / told.span_ns if told.span_ns else 0.0,
                "joules": _joules(readings.get(node), name),
            }
            for name, taken_ns in told.taken_ns.items()
            if taken_ns
        }
        for node, told in usage.items()
    }


def _joules(reading: Reading | None, resource: str) -> float:
    """Of a tier with banks, all its parts."""
    if reading is None:
        return 0.0
    if resource == f"{LINK}.out":
        return sum(reading.dynamic.get(LINK, {}).values())
    return sum(
        sum(phases.values())
        for component, phases in reading.dynamic.items()
        if component == resource or component.startswith(f"{resource}.")
    )


def utilisation_lines(known: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Those that were busy for most of the time."""
    parts = [
        (f"{node} {name}", told) for node, all_of in known.items() for name, told in all_of.items()
    ]
    parts.sort(key=lambda pair: (-pair[1]["utilisation"], pair[0]))
    if not parts or not parts[0][1]["utilisation"]:
        return []
    shown = ", ".join(
        f"{name} {told['utilisation']:.1%}" + _waiting(told) for name, told in parts[:SHOWN_MOST]
    )
    return [f"busiest of {len(parts)} components: {shown}"]


def _waiting(told: Mapping[str, Any]) -> str:
    share = told["waiting_ns"] / told["span_ns"]
    return f" (waiting {share:.1%})" if share >= 0.001 else ""
