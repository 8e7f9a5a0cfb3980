"""What is said of a network in the live worlds: by its benchmark, and by a report of estimates."""

from dataclasses import replace

import pytest

from benchmarks.network.live import network_rows
from benchmarks.ray import networked
from cluster.reports.network import network_figures, network_lines
from cluster.runs.run import Run
from workers.wire.fabric.counts import LinkCount, NetworkCounts, TalkCount


def counts(sent: int, moved: int) -> NetworkCounts:
    by_class = (sent, 0, 0, 0, 0)
    talk = {("a", "b"): TalkCount((1, 0, 0, 0, 0), by_class, sent)}
    return NetworkCounts(1_000, {"a.out": LinkCount(by_class, moved, 100, 1)}, talk)


def run(sent: int, moved: int) -> Run:
    return Run([], {}, network=counts(sent, moved))


def test_links_agree_within_five_percent_and_both_hands_always() -> None:
    assert [row.holds for row in network_rows(run(104, 104), run(100, 100))] == [True, True]
    assert [row.holds for row in network_rows(run(106, 106), run(100, 100))] == [False, True]
    off, lost = network_rows(run(100, 99), run(100, 100))
    assert off.value == pytest.approx(-1) and off.holds
    assert lost.value == 1 and not lost.holds and "links moved 99" in lost.evidence


def test_estimates_are_called_so() -> None:
    exact = counts(100, 100)
    assert not any("estimated" in line for line in network_lines(exact))
    told = replace(exact, is_estimated=True)
    assert sum("estimated" in line for line in network_lines(told)) == 1
    figures = [network_figures(one) for one in (exact, told)]
    assert [(one or {})["estimated"] for one in figures] == [False, True]
    assert told.since(exact).is_estimated


def test_hosts_say_that_links_are_estimated_and_lose_no_byte() -> None:
    def holds(**changes: object) -> list[bool]:
        network = {"estimated": True, "byte_hops": {"messages": 7, "links": 7}, **changes}
        told = {"tokens": {"a": [1], "b": [2]}, "network": network}
        return [row.holds for row in networked.network_rows(told, {"a": [1], "b": [2]})]

    assert holds() == [True, True, True]
    assert holds(estimated=False) == [True, True, False]
    assert holds(byte_hops={"messages": 7, "links": 6}) == [True, False, True]
