"""Whether a meter's accounts agree. Pure.

Three are kept of the same joules, by different hands:

    components   whole amounts, counted by resource and phase     x  energy of a unit
    accounts     floats that hardware and egress sum up at launch
    timeline     power of each part over the time that it was taken, and idle watts

Components equal accounts, and they equal the timeline's integral but for what has begun and not
ended: without idle power, which may be nearly everything, and with it.
"""

from collections.abc import Iterable
from fractions import Fraction

from workers.hardware.energy.meter import Reading

# Of the larger: floats of millions of draws are far nearer, and what is counted by one hand and not
# by the other is seldom so little.
RELATIVE_ERROR_MAX = 1e-6


def total(joules: Iterable[float]) -> float:
    """Exact, and rounded once: in whatever order."""
    return float(sum(map(Fraction, joules), Fraction(0)))


def counted(reading: Reading) -> float:
    """Joules by the components' counters, with idle power."""
    return total([*_dynamic(reading), reading.static_joules])


def integral(reading: Reading) -> float:
    """Joules by the timeline, what has begun and not ended among them."""
    return total([*reading.buckets, reading.open_joules])


def differences(node: str, reading: Reading) -> list[str]:
    """Accounts of a node that disagree, in words: none, or something was counted by one hand and
    not by the other.
    """
    dynamic, accounts = total(_dynamic(reading)), total(reading.accounts.values())
    drawn = total([reading.drawn_joules, reading.open_joules])
    return [
        *differ(f"{node}: components and accounts", dynamic, accounts),
        *differ(f"{node}: components and timeline", dynamic, drawn),
        *differ(
            f"{node}: with idle power, components and timeline", counted(reading), integral(reading)
        ),
    ]


def differ(what: str, one: float, other: float) -> list[str]:
    """Says so if they do."""
    if abs(one - other) <= RELATIVE_ERROR_MAX * max(abs(one), abs(other)):
        return []
    return [f"{what} differ: {one:.9g} J and {other:.9g} J"]


def _dynamic(reading: Reading) -> list[float]:
    return [joules for phases in reading.dynamic.values() for joules in phases.values()]
