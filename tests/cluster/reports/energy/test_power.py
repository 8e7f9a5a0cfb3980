"""Watts over time of several machines: 64 spans, whatever each machine's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.reports.energy.power import NUM_BUCKETS, power_of
from tests.cluster.reports.energy.readings import reading


def test_machines_add_up_in_each_span() -> None:
    """64 us in spans of 1 us: a draws 1 uJ in each of them, b 3 uJ from 32 us on for 2 us."""
    a = reading({}, 64e-6, [32e-6, 32e-6], until_ns=64_000, bucket_ns=32_000)
    b = reading({}, 3e-6, [0.0] * 16 + [3e-6], until_ns=64_000, bucket_ns=2_000)
    told = power_of([a, b])
    assert (told.begin_ns, told.bucket_ns) == (0, 1_000)
    expected = [1.0] * 32 + [2.5] * 2 + [1.0] * 30
    assert told.watts == pytest.approx(expected)
    assert told.peak_watts == pytest.approx(2.5)
    assert told.joules == pytest.approx(67e-6)


def test_a_last_bucket_counts_until_the_machine_was_read() -> None:
    """Idle 1 W for 1.5 us, in buckets of 1 us: the second lasts half as long."""
    told = power_of([reading({}, 1.5e-6, [1e-6, 0.5e-6], until_ns=1_500)])
    assert told.watts == pytest.approx([1.0] * NUM_BUCKETS)


def test_without_time_there_are_no_watts() -> None:
    assert power_of([reading({}, 0.0, [], until_ns=0)]).watts == ()
    assert power_of([]).peak_watts == 0.0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.integers(1, 5_000),
            st.lists(st.floats(0, 1e3), min_size=1, max_size=256),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_energy_is_kept(machines: list[tuple[int, int, list[float]]]) -> None:
    readings = [
        reading({}, 0.0, joules, begin_ns=begin, bucket_ns=width, until_ns=begin)
        for begin, width, joules in machines
    ]
    drawn = sum(sum(joules) for *_, joules in machines)
    assert power_of(readings).joules == pytest.approx(drawn, rel=1e-9, abs=1e-12)
