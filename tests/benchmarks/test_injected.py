"""The benchmark of injected delays counts from the send, and judges what it says it judges."""

import asyncio
from itertools import pairwise

import pytest

from benchmarks.wires import injected
from tests.workers.wire.transport.wires import NEEDS_SHM, NEEDS_UCX

EVEN = [(i + 0.5) / 1_000 for i in range(1_000)]


def found(late_ms: float) -> dict[str, list[float]]:
    """Own 0.1 to 0.2 ms; each fixed delay late by so much more; distributions as they are drawn."""
    fixed = {
        str(ms): [ms + 0.1 + 0.1 * u + late_ms * bool(ms) for u in EVEN] for ms in (0, 1, 5, 20)
    }
    drawn = {
        name: [float(law.ppf(u)) + 0.15 + late_ms for u in EVEN]
        for name, (_, law) in injected.DISTRIBUTIONS.items()
    }
    return fixed | drawn


@pytest.mark.parametrize(
    ("late_ms", "p50_holds", "p99_holds"), [(0.1, 1, 1), (0.3, 0, 1), (1.1, 0, 0)]
)
def test_an_error_is_what_is_beyond_the_wire_s_own(
    late_ms: float, p50_holds: bool, p99_holds: bool
) -> None:
    rows = injected.rows_of("shm", found(late_ms))
    fixed, drawn = rows[:6], rows[6:]
    assert [row.value for row in fixed] == [pytest.approx(late_ms)] * 6
    assert [row.holds for row in fixed] == [p50_holds, p99_holds] * 3
    assert [row.holds for row in drawn] == [True] * 3, "how late they are is taken off"


def test_another_distribution_is_noticed() -> None:
    """A normal one where a log-normal one should be: same median, other shape."""
    wrong = found(0.1)
    wrong["lognormal"] = [50 + (value - 200) for value in wrong["normal"]]
    *_, normal, lognormal, pareto = injected.rows_of("shm", wrong)
    assert (normal.holds, lognormal.holds, pareto.holds) == (True, False, True)


@pytest.mark.live
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "wire",
    ["grpc", pytest.param("ucx", marks=NEEDS_UCX), pytest.param("shm", marks=NEEDS_SHM)],
)
def test_nothing_comes_before_its_delay(wire: str) -> None:
    """How much later it comes is the machine's affair."""
    delays = asyncio.run(injected.observe(wire, blocks=2, block=5, num_drawn=10))
    assert {name: len(values) for name, values in delays.items()} == {
        "warm-up": 5, "0": 10, "1": 10, "5": 10, "20": 10, "normal": 10, "lognormal": 10,
        "pareto": 10,
    }  # fmt: skip
    least = [min(delays[str(ms)]) for ms in injected.FIXED_MS]
    assert all(value >= ms for value, ms in zip(least, injected.FIXED_MS, strict=True))
    assert min(delays["pareto"]) >= 50
    assert all(one != other for one, other in pairwise(sorted(delays["normal"])))
