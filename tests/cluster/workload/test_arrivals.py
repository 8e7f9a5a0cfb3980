"""Arrival times and lengths: the statistics that were asked for, the same for the same seed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.workload.arrivals import arriving
from cluster.workload.lengths import draw_lengths
from cluster.workload.streams import stream, tokens
from cluster.workload.traces import read_trace
from configs.schema.workload import Arrivals, Length

COUNT = 20_000


def gaps_s(arrivals: dict[str, object], seed: int = 1) -> np.ndarray:
    times = arriving(Arrivals.model_validate(arrivals), seed).times_ns
    return np.diff(np.array(times)) / 1e9


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.5, 2_000.0])
def test_poisson_has_its_rate_and_a_variation_of_one(rate: float, seed: int) -> None:
    gaps = gaps_s({"poisson": {"rate_per_s": rate, "num_requests": COUNT}}, seed)
    assert 1 / gaps.mean() == pytest.approx(rate, rel=0.03)  # 4 sigma of 1 / sqrt(20,000)
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.04)


@pytest.mark.parametrize("cv", [0.25, 1.0, 2.5])
def test_gamma_has_its_rate_and_variation(cv: float) -> None:
    gaps = gaps_s({"gamma": {"rate_per_s": 10, "cv": cv, "num_requests": COUNT}})
    assert 1 / gaps.mean() == pytest.approx(10, rel=0.03 * max(1, cv))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.08)


def test_open_load_ascends_from_the_start_of_the_run() -> None:
    spec = Arrivals.model_validate({"gamma": {"rate_per_s": 10, "cv": 3, "num_requests": 500}})
    times = arriving(spec, 4).times_ns
    assert len(times) == 500
    assert min(times) >= 0
    assert list(times) == sorted(times)


@pytest.mark.parametrize(("concurrency", "users"), [(8, 8), (500, 100)])
def test_a_closed_loop_has_users_and_no_times(concurrency: int, users: int) -> None:
    spec = {"closed": {"concurrency": concurrency, "num_requests": 100}}
    found = arriving(Arrivals.model_validate(spec), 0)
    assert found.times_ns == (0,) * 100
    assert found.concurrency == users


def test_a_trace_can_be_sped_up(tmp_path) -> None:
    rows = "".join(
        f'{{"input_toks": 1, "output_toks": 1, "arrival_time_ns": {at}}}\n'
        for at in (0, 1_000, 3_001)
    )
    (tmp_path / "trace").write_text(rows)
    trace = read_trace(None, tmp_path / "trace")
    spec = {"trace": {"format": "azure", "path": "x", "speedup": 2}}
    assert arriving(Arrivals.model_validate(spec), 0, trace).times_ns == (0, 500, 1500)


def test_the_seed_decides_and_streams_are_apart() -> None:
    spec = Arrivals.model_validate({"poisson": {"rate_per_s": 1, "num_requests": 50}})
    assert arriving(spec, 1) == arriving(spec, 1)
    assert arriving(spec, 1) != arriving(spec, 2)
    assert tokens(1, "a", 0, count=20, vocab_size=512) != tokens(
        1, "a", 1, count=20, vocab_size=512
    )
    assert tokens(1, "a", count=20, vocab_size=512) != tokens(1, "b", count=20, vocab_size=512)
    # Pinned: another process, another day, the same workload.
    assert tokens(0, "turn", 0, count=5, vocab_size=512) == [362, 224, 1, 375, 89]


def draw(spec: dict[str, object], seed: int = 0) -> np.ndarray:
    return draw_lengths(Length.model_validate(spec), COUNT, stream(seed, "test"))


def test_fixed_lengths_are_fixed() -> None:
    assert set(draw({"fixed": 7}).tolist()) == {7}


def test_uniform_lengths_have_both_ends() -> None:
    drawn = draw({"uniform": {"low": 3, "high": 6}})
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [3, 4, 5, 6]
    assert counts.min() > 0.22 * COUNT


def test_lognormal_lengths_have_their_median_and_spread() -> None:
    drawn = draw({"lognormal": {"median": 1000, "sigma": 0.5}})
    assert np.median(drawn) == pytest.approx(1000, rel=0.03)
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.03)


def test_zipf_lengths_fall_as_their_exponent_says() -> None:
    drawn = draw({"zipf": {"alpha": 1.5, "low": 1, "high": 100}})
    ones, twos = (drawn == 1).sum(), (drawn == 2).sum()
    assert ones / twos == pytest.approx(2**1.5, rel=0.1)
    assert drawn.max() <= 100


@given(
    low=st.integers(1, 50),
    more=st.integers(0, 100),
    sigma=st.floats(0, 50),
    alpha=st.floats(0.01, 20),
    seed=st.integers(0, 2**32),
)
def test_lengths_stay_within_their_bounds(low, more, sigma, alpha, seed) -> None:
    high = low + more
    specs = (
        {"uniform": {"low": low, "high": high}},
        {"lognormal": {"median": 10, "sigma": sigma, "low": low, "high": high}},
        {"zipf": {"alpha": alpha, "low": low, "high": high}},
    )
    for spec in specs:
        drawn = draw_lengths(Length.model_validate(spec), 50, stream(seed, "test"))
        assert drawn.dtype == np.int64
        assert drawn.min() >= low
        assert drawn.max() <= high
        assert math.isfinite(float(drawn.sum()))
