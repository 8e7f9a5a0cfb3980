"""Faults of nodes that could never happen are refused before anything starts."""

from typing import Any

import pytest

from cluster.faults.words import kinds_with_a_layer
from cluster.worlds.blueprint import Blueprint
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.cluster import SMALL

CRASH: dict[str, Any] = {"type": "crash", "node": "decode-0"}
SPELL: dict[str, Any] = {"duration": "1 ms", "node": "decode-0"}
TOGETHER = {"cluster.nodes.prefill.workers": ["chip"], "cluster.nodes.decode.workers": ["chip"]}


def test_kinds_of_one_layer() -> None:
    assert {"dispatch", "near_attend"} <= set(kinds_with_a_layer())
    assert "combine" not in kinds_with_a_layer()


@pytest.mark.parametrize(
    ("fault", "changes", "told"),
    [
        (
            {**CRASH, "node": "decode-7"},
            {},
            "faults.0.node: no node or worker is called 'decode-7'",
        ),
        (
            CRASH,
            {"cluster.world": "process"},
            "faults.0.type: crash happens to nodes of world virtual, local and ray alone",
        ),
        (
            {**SPELL, "type": "disk_full", "node": "hbf-0"},
            {"cluster.world": "ray"},
            "faults.0.type: disk_full happens to nodes of world virtual and local alone",
        ),
        (
            {**SPELL, "type": "clock_skew", "attributes": {"ahead": "1 s"}},
            {"cluster.world": "local"},
            "faults.0.type: clock_skew happens to nodes of world virtual alone, and cluster.world",
        ),
        (
            {**SPELL, "type": "slow", "attributes": {"factor": 2}},
            {"cluster.world": "local", "cluster.emulation": False},
            "faults.0.type: slow: without emulation nothing is launched: turn cluster.emulation on",
        ),
        (
            {**SPELL, "type": "out_of_memory", "node": "router"},
            {},
            "faults.0.node: router has no room for KV: name the node of a chip, or with",
        ),
        (
            {**SPELL, "type": "out_of_memory", "node": "hbf-0"},
            {"placement.kv_pool": False},
            "faults.0.node: hbf-0 has no room for KV: name the node of a chip, or with",
        ),
        (
            {"type": "wear_out", "node": "hbf-0", "attributes": {"share": 0.5}},
            {"placement.kv_pool": True},
            "faults.0.node: no tier of hbf-0 is a flash file, which alone wears out: give the",
        ),
        (
            {"type": "wear_out", "node": "decode-0", "attributes": {"share": 0.5}},
            {"placement.kv_pool": True},
            "faults.0.node: decode-0 has no memory server, which alone keeps blocks",
        ),
        (
            {**CRASH, "event": {"kind": "dispatch"}},
            {"cluster.world": "local"},
            "faults.0.event: messages are watched in world virtual alone, and cluster.world",
        ),
        (
            {"type": "page_error", "node": "decode-0"},
            {"placement.kv_pool": True},
            "faults.0.node: decode-0 has no memory server, which alone keeps blocks",
        ),
        (
            {"type": "page_error", "node": "memory-0"},
            {"placement.kv_pool": False},
            "faults.0.type: page_error: no KV is pooled: set placement.kv_pool: true",
        ),
        (
            {**SPELL, "type": "disk_full"},
            {},
            "faults.0.node: decode-0 writes nothing to a disk: name the node of a memory server",
        ),
        (
            {**CRASH, "event": {"kind": "dispach"}},
            {},
            "faults.0.event.kind: no message is of kind 'dispach': did you mean 'dispatch'",
        ),
        (
            {**CRASH, "event": {"kind": "combine", "layer": 1}},
            {},
            "faults.0.event.layer: a combine is of no one layer: leave it out, or set event.kind",
        ),
        (
            {"type": "crash", "node": "experts-0", "transfer": {"point": "moved"}},
            TOGETHER,
            "faults.0.transfer: chips that do both prefill and decode pass no KV on",
        ),
    ],
)
def test_what_is_wrong_says_its_key_and_what_would_be_right(
    fault: dict[str, Any], changes: dict[str, object], told: str
) -> None:
    scenario = load_scenario("demo", {**SMALL, **changes, "faults": [fault]})
    with pytest.raises(ScenarioError) as caught:
        Blueprint.draw(scenario)
    assert len(caught.value.problems) == 1
    assert told in caught.value.problems[0]
