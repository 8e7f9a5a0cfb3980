"""A late network beside an injected delay: both are as late as they say, and are compared so."""

import pytest

from benchmarks.wires import network, relay

HINDRANCE = relay.hindrance()


@pytest.mark.parametrize(
    ("off", "holds"), [(-0.04, [True, True]), (0.06, [False, True]), (0.11, [False, False])]
)
def test_medians_may_be_5_percent_apart_and_p99_10(off: float, holds: list[bool]) -> None:
    late = [160 + i / 100 for i in range(100)]
    rows = network.rows_of({"network": late, "injected": [(1 + off) * value for value in late]})
    assert [row.holds for row in rows] == holds
    assert [row.value for row in rows] == [pytest.approx(off)] * 2


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(HINDRANCE), reason=HINDRANCE)
def test_eight_crossings_of_20_ms_are_a_token() -> None:
    found = network.observe(blocks=1, per_block=8)
    assert {name: len(values) for name, values in found.items()} == {"network": 8, "injected": 8}
    for name, values in found.items():
        assert min(values) >= 8 * network.DELAY_MS - 0.5, name
