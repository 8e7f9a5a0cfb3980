"""Causes of long rounds of the all-to-all, and small runs of its benchmark."""

import pytest

from benchmarks.wires import tail
from tests.workers.wire.transport.wires import NEEDS_SHM

MS = 1_000_000


@pytest.mark.parametrize(
    ("took_ns", "ranks", "said"),
    [
        (12 * MS, [(MS, 7 * MS), (MS, 0)], "no processor"),
        (12 * MS, [(MS, 0), (MS, 6 * MS)], "no processor"),
        (12 * MS, [(11 * MS, MS), (MS, 0)], "ran all the while"),
        (12 * MS, [(MS, 4 * MS), (MS, 4 * MS)], "no processor"),  # one after the other
        (12 * MS, [(MS, 2 * MS), (MS, 2 * MS)], ""),  # not for half of it
        (12 * MS, [(MS, 0), (MS, 0)], ""),  # both slept: a wake-up that was lost
    ],
)
def test_a_stall_has_the_cause_that_explains_most_of_it(took_ns, ranks, said) -> None:
    found = tail.cause(took_ns, ranks)
    assert said in found and bool(said) == bool(found)


def test_a_stall_without_a_cause_does_not_hold() -> None:
    stalls = [(11 * MS, "no processor: others ran on it")] * 2
    p999, unnamed = tail.rows([20_000] * 998 + [11 * MS] * 2, stalls)
    assert p999.value == pytest.approx(11_000, rel=0.01)
    assert unnamed.holds and unnamed.value == 0
    assert "2 of them: no processor" in unnamed.evidence
    _, unnamed = tail.rows([20_000] * 998 + [11 * MS] * 3, [*stalls, (11 * MS, "")])
    assert unnamed.value == 1 and not unnamed.holds


@NEEDS_SHM
@pytest.mark.slow
def test_a_small_run_says_where_long_rounds_were() -> None:
    taken, stalls = tail.measure(200)
    assert len(taken) == 200 and all(took > 0 for took in taken)
    assert len(stalls) == sum(took > tail.STALL_NS for took in taken)
