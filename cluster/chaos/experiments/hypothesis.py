"""What should hold, as plain comparisons: `p99_tpot < 2x baseline`, `wrong_tokens == 0`,
`recovery < 5 s`, `recovery.failed == 0`.

The left side is a measure of the fault phase, or after `recovery.` of the recovery phase; the right
side a number, a time with its unit, or so many times what the baseline showed.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.chaos.experiments.measures import MEASURES, Phase
from configs.nearest import nearest
from configs.outside import shown
from configs.units import DURATION

COMPARES: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_LINE = re.compile(r"(?:(\w+)\.)?(\w+)\s*(<=|>=|==|!=|<|>)\s*(.+)")
_TIMES = re.compile(r"(?:([0-9]+(?:\.[0-9]+)?)\s*x\s*)?baseline")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
PHASES = ("fault", "recovery")
EXAMPLE = "write it as p99_tpot < 2x baseline, wrong_tokens == 0 or recovery < 5 s"


@dataclass(frozen=True, slots=True)
class Claim:
    """times   of the baseline's measure; None: `bound` is what it is compared with"""

    line: str
    phase: str
    measure: str
    compare: str
    times: float | None
    bound: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a claim. seen, base, bound: None where there was nothing to measure."""

    claim: Claim
    seen: float | None
    base: float | None
    bound: float | None
    holds: bool


def claim_of(line: str) -> Claim:
    """Raises ValueError saying what is wrong and what would be right."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise ValueError(f"{shown(line)} is no comparison: {EXAMPLE}")
    phase, measure, compare, right = found.groups()
    if phase is not None and phase not in PHASES:
        raise ValueError(f"{shown(line)}: no phase is called {phase!r}: {nearest(phase, PHASES)}")
    if measure not in MEASURES:
        hint = nearest(measure, MEASURES)
        raise ValueError(f"{shown(line)}: there is no measure {measure!r}: {hint}")
    times, bound = _right(line, measure, right)
    return Claim(line.strip(), phase or "fault", measure, compare, times, bound)


def _right(line: str, measure: str, right: str) -> tuple[float | None, float]:
    relative = _TIMES.fullmatch(right)
    unit = MEASURES[measure].unit
    if relative is not None:
        if measure == "recovery":
            raise ValueError(f"{shown(line)}: a baseline recovers from nothing: give a time, 5 s")
        return float(relative[1] or 1), 0.0
    if unit == "ns":
        try:
            return None, float(DURATION.parse(right))
        except ValueError as error:
            raise ValueError(f"{shown(line)}: {error}, or a share of it: 2x baseline") from error
    if not _NUMBER.fullmatch(right):
        raise ValueError(f"{shown(line)}: {shown(right)} must be a number, or as 2x baseline")
    return None, float(right)


def judge(claim: Claim, baseline: Phase, phases: Mapping[str, Phase]) -> Verdict:
    """Nothing to measure is no evidence: such a claim does not hold."""
    value = MEASURES[claim.measure].value
    seen, base = value(phases[claim.phase]), value(baseline)
    bound: float | None = claim.bound
    if claim.times is not None:
        bound = None if base is None else claim.times * base
    holds = seen is not None and bound is not None and COMPARES[claim.compare](seen, bound)
    return Verdict(claim, seen, base, bound, holds)
