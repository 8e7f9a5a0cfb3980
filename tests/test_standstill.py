"""A machine that stands still is noticed, one that is busy is not."""

from tests.standstill import Standstill


def test_only_a_long_gap_is_told() -> None:
    found = Standstill(tick_s=3600.0, long_s=15.0)  # its thread waits; the ticks are these
    begun_s = found._last_s
    for second in (3600, 7210, 10_830, 14_700):
        found.tick(begun_s + second)
    assert found.end() == [
        "the machine stood still for 20 s, 7210 s in",
        "the machine stood still for 270 s, 10830 s in",
    ]
