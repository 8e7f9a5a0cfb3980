"""Two machines' meters added up, and what shows where one does not agree with itself."""

from dataclasses import replace

import pytest

from cluster.reports.energy.balance import balance
from tests.cluster.reports.energy.readings import reading

A = reading(
    {"compute.fp32": {"prefill": 1.0, "decode": 2.0}, "hbm.read": {"decode": 4.0}},
    3.0,
    [6.0, 4.0],
)
B = reading({"hbm.read": {"decode": 8.0}}, 5.0, [13.0], until_ns=1_000)


def test_components_phases_and_nodes_make_up_the_total() -> None:
    told = balance({"a": A, "b": B}, 7.0)
    assert told is not None
    assert told.total_joules == 23.0
    assert told.by_phase == {"prefill": 1.0, "decode": 14.0, "idle": 8.0}
    assert told.by_component == {
        "compute.fp32": {"prefill": 1.0, "decode": 2.0},
        "hbm.read": {"decode": 12.0},
    }
    assert told.by_node == {"a": 10.0, "b": 13.0}
    assert (told.seconds, told.idle_watts) == (2e-6, 7.0)
    assert told.power.joules == pytest.approx(23.0)
    assert told.differences == ()


def test_what_one_account_lacks_is_named_with_both_figures() -> None:
    short = replace(A, accounts={"machine": 6.5, "link": 0.0})
    told = balance({"a": short, "b": B}, 7.0)
    assert told is not None
    assert told.differences == ("a: components and accounts differ: 7 J and 6.5 J",)
    lost = replace(A, buckets=[6.0, 3.0])
    told = balance({"a": lost, "b": B}, 7.0)
    assert told is not None
    assert told.differences == ("a: with idle power, components and timeline differ: 10 J and 9 J",)


def test_what_has_not_ended_is_no_difference() -> None:
    told = balance({"a": replace(A, buckets=[6.0, 3.0], drawn_joules=6.0, open_joules=1.0)}, 1.0)
    assert told is not None
    assert told.differences == ()


def test_where_nothing_is_emulated_there_is_none() -> None:
    assert balance({}, 100.0) is None
