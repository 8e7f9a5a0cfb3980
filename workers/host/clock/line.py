"""How far another machine's clock is ahead of this one's, from what was measured: a straight line.

A clock that is asked says what it shows somewhere between question and answer: half the round trip
is the most that it can be off. Many such samples, each weighed by that error, give the offset and,
once they span enough time, by how much one clock runs faster than the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Quartz clocks are within some 100 ppm of each other: what is believed before anything is measured.
RATE_SIGMA = 300e-6
# No sample is better than this, however short its round trip: reading a clock takes time as well.
ERROR_FLOOR_NS = 2_000.0
# A clock that is followed meets the line after so long, and is never turned further than this.
MEET_NS = 2_000_000_000
TURN_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """When this machine's clock showed `at_ns` the other's showed `at_ns + ahead_ns`, to within
    `error_ns`.
    """

    at_ns: int
    ahead_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class Line:
    """The other clock is `ahead_ns` ahead at `at_ns`, and gains `rate` a nanosecond of ours."""

    at_ns: int
    ahead_ns: float
    rate: float

    def other_ns(self, own_ns: int) -> int:
        """What the other shows when ours shows that."""
        return own_ns + round(self.ahead_ns + (own_ns - self.at_ns) * self.rate)


def fit(samples: Sequence[Sample]) -> Line:
    """The line that fits best, each sample weighed by its error (weighted least squares, with
    RATE_SIGMA as what is known of the slope beforehand). Raises ValueError without a sample.
    """
    if not samples:
        raise ValueError("samples: is empty: a line needs one")
    last_ns = samples[-1].at_ns
    weights = [1 / max(sample.error_ns, ERROR_FLOOR_NS) ** 2 for sample in samples]
    total = sum(weights)
    xs = [sample.at_ns - last_ns for sample in samples]
    first_ns = samples[0].ahead_ns  # differences alone: nanoseconds since boot outgrow a float
    ys = [sample.ahead_ns - first_ns for sample in samples]
    x_mean = sum(w * x for w, x in zip(weights, xs, strict=True)) / total
    y_mean = sum(w * y for w, y in zip(weights, ys, strict=True)) / total
    spread = sum(w * (x - x_mean) ** 2 for w, x in zip(weights, xs, strict=True))
    together = sum(w * (x - x_mean) * (y - y_mean) for w, x, y in zip(weights, xs, ys, strict=True))
    rate = together / (spread + 1 / RATE_SIGMA**2)
    return Line(last_ns, first_ns + y_mean - x_mean * rate, rate)


def turned(followed: Line | None, target: Line, now_ns: int) -> Line:
    """What to follow from now on: continuous with what was followed, and on `target` MEET_NS later.
    A clock that is followed so never jumps, and never goes back.
    """
    if followed is None:
        return target
    here = followed.other_ns(now_ns) - now_ns
    there = target.other_ns(now_ns + MEET_NS) - (now_ns + MEET_NS)
    rate = (there - here) / MEET_NS
    return Line(now_ns, here, min(TURN_MAX, max(-TURN_MAX, rate)))
