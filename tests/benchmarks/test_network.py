"""A late network beside an injected delay: both are as late as they say, and are compared so."""

import pytest

from benchmarks.wires import network, relay

HINDRANCE = relay.hindrance()


@pytest.mark.parametrize(
    ("off", "holds"), [(-0.04, [True, True]), (0.06, [False, True]), (0.11, [False, False])]
)
def test_medians_may_be_5_percent_apart_and_p99_10(off: float, holds: list[bool]) -> None:
    late = [160 + i / 100 for i in range(100)]
    injected = [(1 + off) * value for value in late]
    rows = network.rows_of({"network": late, "injected": injected, "neither": [0.0]})
    assert [row.holds for row in rows] == holds * 2
    assert [row.value for row in rows] == [pytest.approx(off)] * 4


def test_our_software_is_shown_and_taken_off() -> None:
    """A network's TPOT of 180 ms, of which 20 are there without a delay."""
    found = {"network": [180.0] * 9, "injected": [160.0] * 9, "neither": [15.0, 20.0, 30.0]}
    rows = network.rows_of(found)
    assert [row.value for row in rows] == [pytest.approx(-1 / 9, abs=1e-4)] * 2 + [0.0] * 2


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(HINDRANCE), reason=HINDRANCE)
def test_eight_crossings_of_20_ms_are_a_token() -> None:
    """From sending a request to its last token, that is: a first token that the machine makes late
    is no longer TPOT.
    """
    found = network.observe(blocks=1, per_block=8)
    assert [len(found[kind]) for kind in ("network", "injected", "neither")] == [8, 8, 8]
    for kind in ("network", "injected"):
        least_ns = min(answer.e2e_ns for answer in found[kind])
        assert least_ns >= network.TOKENS * 8 * network.DELAY_MS * 1_000_000, kind
