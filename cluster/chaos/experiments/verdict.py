"""Verdicts in words: what the terminal and the page both show."""

from collections.abc import Iterator

from cluster.chaos.experiments.hypothesis import Verdict
from cluster.chaos.experiments.measures import MEASURES, Measure
from cluster.chaos.experiments.phases import Outcome

# Of each phase, whatever the hypothesis asks for.
FIGURES = (
    "requests", "answered", "failed", "cut_streams", "refused", "wrong_tokens", "lost_tokens",
    "repeated_tokens", "p50_ttft", "p99_ttft", "p50_tpot", "p99_tpot", "stall", "recovery",
    "throughput", "goodput",
)  # fmt: skip
NOTHING = "-"
# From so many ns on, and places behind the point.
UNITS = ((10**9, "s", 3), (10**6, "ms", 3), (10**3, "us", 1), (1, "ns", 0))


def shown(measure: Measure, value: float | None) -> str:
    if value is None:
        return NOTHING
    if measure.unit == "ns":
        return next(
            f"{value / size:,.{digits}f} {unit}"
            for size, unit, digits in UNITS
            if value >= size or size == 1
        )
    return f"{value:,.0f} {measure.unit}".rstrip()


def row(verdict: Verdict) -> tuple[str, str, str, str, bool]:
    """The claim, what was seen, the baseline's, what it is compared with, and whether it holds."""
    measure = MEASURES[verdict.claim.measure]
    figures = (shown(measure, value) for value in (verdict.seen, verdict.base, verdict.bound))
    seen, base, bound = figures
    return verdict.claim.line, seen, base, bound, verdict.holds


def figures(outcome: Outcome) -> Iterator[tuple[str, list[str]]]:
    """A line for each measure: its name, and a value a phase."""
    for name in FIGURES:
        measure = MEASURES[name]
        yield name, [shown(measure, measure.value(phase)) for phase in outcome.phases.values()]


def remarks(outcome: Outcome) -> list[str]:
    """What must be told beside the figures: broken laws, what is held, that nothing was tried."""
    found = [line for phase in outcome.phases.values() for line in phase.broken]
    found += [f"held when idle: {what}" for phase in outcome.phases.values() for what in phase.held]
    if not outcome.has_struck:
        found.append("no fault struck: nothing was tried, so nothing is shown")
    return found


def last_line(outcome: Outcome) -> str:
    verdicts = outcome.verdicts
    failed = sum(not verdict.holds for verdict in verdicts)
    if outcome.holds:
        return f"{outcome.name}: the hypothesis holds ({len(verdicts)} comparisons)"
    if not outcome.has_struck:
        return f"{outcome.name}: no fault struck"
    return f"{outcome.name}: {failed} of {len(verdicts)} comparisons do not hold"
