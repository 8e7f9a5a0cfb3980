"""Experts and search on engines beside their tiers: the same tokens, at these engines' expense."""

import pytest

from benchmarks.memory.energy import drawn
from tests.cluster.worlds.cluster import ask_all, request, run, with_cards

DIE = {"die": {"beside": "hbm", "compute": {"fp32": "1 TFLOP/s"}, "flop_energy": "0.4 pJ"}}
NEAR = {"near": {"beside": "lpddr", "compute": {"fp32": "1 TFLOP/s"}, "flop_energy": "0.4 pJ"}}
BESIDE: dict[str, object] = {
    "cluster.nodes.experts.device": {"base": "h100-sxm", "engines": DIE},
    "cluster.nodes.pnm.device": {"base": "pnm-cxl", "engines": NEAR},
    "workload.arrivals": {"closed": {"concurrency": 2, "num_requests": 4}},
}
MAIN: dict[str, object] = {**BESIDE, "placement.engines": "main"}


def operations(changes: dict[str, object]) -> dict[str, float]:
    """Node and engine -> joules, of shards and of the PNM server."""
    return {
        f"{node} {component}": sum(by_phase.values())
        for node, reading in drawn(with_cards(changes)).items()
        for component, by_phase in reading.dynamic.items()
        if node in ("experts-0", "experts-1", "pnm-0") and component.endswith(".fp32")
    }


def test_engines_beside_tiers_do_what_the_main_ones_did() -> None:
    """At 0.4 pJ an operation where h100-sxm takes 0.19, and pnm-cxl 0.38."""
    beside, main = operations(BESIDE), operations(MAIN)
    assert set(beside) == {"experts-0 die.fp32", "experts-1 die.fp32", "pnm-0 near.fp32"}
    assert set(main) == {"experts-0 compute.fp32", "experts-1 compute.fp32", "pnm-0 compute.fp32"}
    for name, joules in beside.items():
        node = name.partition(" ")[0]
        unit = 0.38 if node == "pnm-0" else 0.19
        assert joules / 0.4 == pytest.approx(main[f"{node} compute.fp32"] / unit)


def test_tokens_are_the_same() -> None:
    asked = [request(f"r{i}", prompt="What does a card cost?", retrieval="cards") for i in range(2)]
    beside, main = (
        run(with_cards(changes), lambda world: ask_all(world, asked)) for changes in (BESIDE, MAIN)
    )
    assert [heard.code for heard in beside] == ["", ""]
    assert [heard.tokens for heard in beside] == [heard.tokens for heard in main]
