"""How late a message is, as a function of one number in (0, 1): the quantile function of each
distribution.

One number a message is all the chance that there is, so a delay is a function of seed, rule and
message, and its distribution is exact whatever the number came from. Formulas: Johnson, Kotz and
Balakrishnan, "Continuous Univariate Distributions", volume 1, chapters 13, 14 and 20. Words: those
of tc-netem(8) where it has them (`jitter`, `correlation`).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

# A tail without end would outlast any clock: nobody waits for a message so late.
DELAY_NS_MAX = 3_600 * 10**9
_STANDARD = NormalDist()
_SHARE_MIN = 2.0**-54  # half of the smallest step of a share: 0 has no quantile
_SHARE_MAX = 1.0 - 2.0**-53


class Distribution(Protocol):
    """What is drawn, in nanoseconds."""

    def quantile_ns(self, share: float) -> float:
        """What `share` of all draws are at most. 0 < share < 1."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Even between -jitter and +jitter: netem's, where no distribution is named."""

    jitter_ns: int

    def quantile_ns(self, share: float) -> float:
        return (2 * share - 1) * self.jitter_ns


@dataclass(frozen=True, slots=True)
class Normal:
    """Around 0 with a standard deviation of `jitter`: netem's `distribution normal`."""

    jitter_ns: int

    def quantile_ns(self, share: float) -> float:
        return self.jitter_ns * _STANDARD.inv_cdf(share)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """median * exp(sigma * Z), Z standard normal; its mean is median * exp(sigma ** 2 / 2)."""

    median_ns: int
    sigma: float

    def quantile_ns(self, share: float) -> float:
        return self.median_ns * math.exp(self.sigma * _STANDARD.inv_cdf(share))


@dataclass(frozen=True, slots=True)
class Pareto:
    """P(X > x) = (scale / x) ** alpha from `scale` on, type I; its mean is
    scale * alpha / (alpha - 1) where alpha is above 1, and without bound below.
    """

    scale_ns: int
    alpha: float

    def quantile_ns(self, share: float) -> float:
        # In logarithms, since the power itself may be above what a float holds.
        return self.scale_ns * math.exp(min(-math.log1p(-share) / self.alpha, 100.0))


def drawn_ns(latency_ns: int, distribution: Distribution | None, share: float) -> int:
    """`latency` and what is drawn, from 0 on: a message cannot come early, which cuts a normal's
    left tail off, as in netem.
    """
    if distribution is None:
        return latency_ns
    more_ns = distribution.quantile_ns(max(share, _SHARE_MIN))
    return max(0, latency_ns + round(min(more_ns, DELAY_NS_MAX)))


class Correlated:
    """Shares that remember the one before, each still even in (0, 1).

    z(n) = rho z(n-1) + sqrt(1 - rho ** 2) e(n), all standard normal: an AR(1), whose
    autocorrelation at distance k is rho ** k. The share is the normal's distribution function at
    z(n), so that whatever is drawn with it keeps its distribution. (netem mixes the even numbers
    themselves, and what comes of it is narrower than what was asked for.)
    """

    def __init__(self, rho: float) -> None:
        self._rho, self._rest = rho, math.sqrt(1 - rho * rho)
        self._last: float | None = None

    def share(self, fresh: float) -> float:
        """The next share, of a fresh one in [0, 1)."""
        new = _STANDARD.inv_cdf(max(fresh, _SHARE_MIN))
        last = self._last
        self._last = new if last is None else self._rho * last + self._rest * new
        return min(max(_STANDARD.cdf(self._last), _SHARE_MIN), _SHARE_MAX)
