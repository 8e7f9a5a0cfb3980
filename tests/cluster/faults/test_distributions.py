"""Delays are drawn from what they are called: Kolmogorov-Smirnov at 0.01 against scipy's."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cluster.faults.distributions import (
    DELAY_NS_MAX,
    Correlated,
    Distribution,
    LogNormal,
    Normal,
    Pareto,
    Uniform,
    drawn_ns,
)
from workers.host.rng import Rng

NUM_DRAWS = 10_000
MS = 1_000_000
# What is drawn, and the same by somebody else. The latency keeps a normal away from 0.
CASES: dict[str, tuple[int, Distribution, Any]] = {
    "uniform": (5 * MS, Uniform(2 * MS), stats.uniform(3 * MS, 4 * MS)),
    "normal": (20 * MS, Normal(2 * MS), stats.norm(20 * MS, 2 * MS)),
    "lognormal": (0, LogNormal(5 * MS, 0.6), stats.lognorm(0.6, scale=5 * MS)),
    "pareto": (0, Pareto(MS, 2.5), stats.pareto(2.5, scale=MS)),
    "pareto without a mean": (0, Pareto(MS, 0.8), stats.pareto(0.8, scale=MS)),
    "lognormal after a latency": (7 * MS, LogNormal(MS, 1.2), stats.lognorm(1.2, 7 * MS, MS)),
}


def draws(latency_ns: int, distribution: Distribution, seed: int) -> list[int]:
    rng = Rng(seed)
    shares = (rng.uniform("delay", number) for number in range(NUM_DRAWS))
    return [drawn_ns(latency_ns, distribution, share) for share in shares]


@pytest.mark.parametrize("name", CASES)
def test_each_passes_kolmogorov_smirnov(name: str) -> None:
    latency_ns, distribution, expected = CASES[name]
    found = draws(latency_ns, distribution, seed=1)
    assert stats.kstest(found, expected.cdf).pvalue > 0.01


def test_the_check_sees_a_tenth_of_a_deviation() -> None:
    """What passes above would not pass as another: 2.2 ms are told from 2 ms."""
    found = draws(20 * MS, Normal(2_200_000), seed=1)
    assert stats.kstest(found, stats.norm(20 * MS, 2 * MS).cdf).pvalue < 0.001


def test_quantiles_worked_out_by_hand() -> None:
    """A Pareto's median is scale * 2 ** (1 / alpha); one deviation is at 84.1345 %."""
    assert drawn_ns(0, Pareto(1_000, 2.0), 0.75) == 2_000
    assert drawn_ns(0, LogNormal(1_000, 1.0), 0.5) == 1_000
    assert drawn_ns(0, LogNormal(1_000, 1.0), 0.841344746068543) == round(1_000 * math.e)
    assert drawn_ns(5_000, Normal(1_000), 0.841344746068543) == 6_000
    assert drawn_ns(5_000, Uniform(1_000), 0.25) == 4_500
    assert drawn_ns(5_000, None, 0.25) == 5_000


def test_no_message_is_early_and_none_is_later_than_an_hour() -> None:
    shares = (0.0, 2.0**-53, 0.5, 1 - 2.0**-53)
    for share in shares:
        assert drawn_ns(1_000, Normal(MS), share) >= 0
        assert drawn_ns(0, Pareto(MS, 0.01), share) <= DELAY_NS_MAX
        assert drawn_ns(0, LogNormal(MS, 10.0), share) <= DELAY_NS_MAX


@pytest.mark.parametrize("rho", [0.25, 0.9])
def test_correlation_is_rho_to_the_distance_and_the_distribution_stays(rho: float) -> None:
    """Each found within four standard errors, by Bartlett's formula for an AR(1); of the draws one
    in a hundred, far enough apart to be independent, is tested.
    """
    rng, correlated = Rng(3), Correlated(rho)
    num = 200_000
    shares = np.array([correlated.share(rng.uniform("delay", n)) for n in range(num)])
    normal = stats.norm.ppf(shares)
    for distance in (1, 2, 3):
        found = np.corrcoef(normal[:-distance], normal[distance:])[0, 1]
        error = math.sqrt((1 + rho**2) / (1 - rho**2) / num)
        assert abs(found - rho**distance) < 4 * error
    delays = [drawn_ns(0, Pareto(MS, 2.5), share) for share in shares[::100]]
    assert stats.kstest(delays, stats.pareto(2.5, scale=MS).cdf).pvalue > 0.01


def test_without_correlation_a_share_is_the_fresh_one() -> None:
    correlated = Correlated(0.0)
    for fresh in (0.1, 0.7, 0.999):
        assert correlated.share(fresh) == pytest.approx(fresh, abs=1e-12)
