"""Faults of nodes as they are written: what happens, when, and errors that name the remedy."""

from pathlib import Path
from typing import Any

import pytest

from configs.schema import ScenarioError, dump_scenario, load_scenario
from configs.schema.faults import (
    ClockSkewFault,
    CrashFault,
    DiskFullFault,
    OutOfMemoryFault,
    PauseFault,
    SlowFault,
    WearOutFault,
    link_faults,
    node_faults,
)

CRASH: dict[str, Any] = {"type": "crash", "node": "decode-0"}
PAUSE: dict[str, Any] = {"type": "pause", "node": "decode-0", "duration": "2 ms"}
GOOD: list[dict[str, Any]] = [
    CRASH,
    {**CRASH, "attributes": {"restart_after": "5 ms"}, "start": "10 ms", "name": "first"},
    {**PAUSE, "event": {"kind": "dispatch", "nth": 3, "request": "r7", "layer": 2}},
    {**PAUSE, "type": "slow", "attributes": {"factor": 4}, "transfer": {"point": "in_flight"}},
    {"type": "page_error", "node": "hbf-0", "random": {"rate": 100, "within": "50 ms"}},
    {**PAUSE, "type": "disk_full", "random": {"count": 2, "within": "1 s"}},
    {**PAUSE, "type": "out_of_memory", "attributes": {"share": "50 %"}, "start": "1 ms"},
    {"type": "wear_out", "node": "hbf-0", "attributes": {"share": 0.25}},
    {**PAUSE, "type": "clock_skew", "attributes": {"behind": "3 s", "drift": -200}},
]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    scenario = load_scenario("demo", {"faults": [*GOOD, {"type": "drop"}]})
    file = tmp_path / "again.yaml"
    file.write_text(dump_scenario(scenario), encoding="utf-8")
    assert load_scenario(file) == scenario
    for_good, crash, pause, slow, _, disk, memory, worn, clock, _ = scenario.faults
    assert isinstance(memory, OutOfMemoryFault) and memory.attributes.share == 0.5
    assert isinstance(worn, WearOutFault) and worn.attributes.share == 0.25
    assert isinstance(clock, ClockSkewFault) and clock.attributes.offset_ns == -3 * 10**9
    assert clock.attributes.drift_ppm == -200
    assert isinstance(for_good, CrashFault) and for_good.attributes.restart_after_ns is None
    assert isinstance(crash, CrashFault) and crash.attributes.restart_after_ns == 5_000_000
    assert isinstance(pause, PauseFault) and pause.event is not None and pause.event.layer == 2
    assert isinstance(slow, SlowFault) and (slow.attributes.factor, slow.duration_ns) == (
        4,
        2 * 10**6,
    )
    assert isinstance(disk, DiskFullFault) and disk.random is not None and disk.random.count == 2


def test_each_is_of_links_or_of_nodes_and_called_by_its_place_among_all() -> None:
    faults = load_scenario("demo", {"faults": [{"type": "drop"}, *GOOD[:2]]}).faults
    assert list(link_faults(faults)) == ["fault-0"]
    assert list(node_faults(faults)) == ["fault-1", "first"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"type": "crash"}, "faults.0.node: is missing"),
        ({**CRASH, "duration": "1 ms"}, "there is no key 'duration' here"),
        ({**CRASH, "on": {"kind": "start"}}, "there is no key 'on' here"),
        ({**PAUSE, "duration": "0 ns"}, "faults.0.duration: is"),
        ({"type": "pause", "node": "decode-0"}, "faults.0.duration: is missing"),
        ({**PAUSE, "type": "slow"}, "faults.0.attributes: is missing"),
        (
            {**PAUSE, "type": "slow", "attributes": {"factor": 1}},
            "faults.0.attributes.factor: is 1: input should be greater than 1",
        ),
        ({**PAUSE, "type": "clock_skew"}, "faults.0.attributes: is missing"),
        (
            {**PAUSE, "type": "clock_skew", "attributes": {}},
            "faults.0.attributes: needs ahead, behind or drift: a clock without any of them is",
        ),
        (
            {**PAUSE, "type": "clock_skew", "attributes": {"ahead": "1 s", "behind": "1 s"}},
            "faults.0.attributes: ahead and behind: a clock is one of the two, keep one of them",
        ),
        (
            {**PAUSE, "type": "clock_skew", "attributes": {"drift": 200_000}},
            "faults.0.attributes.drift: is 200000: input should be less than or equal to 100000",
        ),
        (
            {**PAUSE, "type": "out_of_memory", "attributes": {"share": 0}},
            "faults.0.attributes.share: is 0: input should be greater than 0",
        ),
        ({"type": "wear_out", "node": "hbf-0"}, "faults.0.attributes: is missing"),
        (
            {**CRASH, "start": "1 ms", "event": {"kind": "start"}},
            "faults.0: start and event both say when: keep one of start, event, transfer, random",
        ),
        (
            {**CRASH, "transfer": {"point": "after"}},
            "faults.0.transfer.point: is 'after': input should be 'before', 'in_flight' or 'moved'",
        ),
        ({**CRASH, "event": {"kind": "start", "nth": 0}}, "faults.0.event.nth: is 0: input should"),
        ({**CRASH, "random": {"within": "1 s"}}, "faults.0.random: needs count or rate"),
        (
            {**CRASH, "random": {"within": "1 s", "count": 1, "rate": 2}},
            "faults.0.random: needs count or rate, and one of them alone",
        ),
        (
            {**CRASH, "random": {"within": "10 s", "rate": 1000}},
            "faults.0.random: rate 1000 over the span of 10 s is 10000 times: it must be at most",
        ),
        (
            {"type": "krash", "node": "decode-0"},
            "faults.0.type: is 'krash': it must be one of 'latency', 'drop'",
        ),
    ],
)
def test_what_is_wrong_says_its_key_and_what_would_be_right(
    fault: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", {"faults": [fault]})
    assert len(caught.value.problems) == 1
    assert told in caught.value.problems[0]
