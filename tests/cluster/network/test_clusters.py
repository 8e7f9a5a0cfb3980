"""Whole clusters over networks: the same tokens, other times, and every byte accounted for."""

from typing import Any

import pytest

from cluster.reports.network import network_figures, network_lines, not_conserved
from cluster.runs.run import Run, run_in_virtual, run_live
from cluster.workload.build import build_workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.scaling import scaled
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import ScenarioError, load_scenario

LINK = {"link": "lowlat-2us"}
REQUESTS = {"workload.arrivals.closed.num_requests": 5, "workload.sampling.max_tokens": 6}


def blueprint(network: dict[str, Any] | None, **changes: Any) -> Blueprint:
    keys = {} if network is None else {"cluster.network": network}
    return Blueprint.draw(load_scenario("demo", {**REQUESTS, **keys, **changes}))


def run(network: dict[str, Any] | None) -> Run:
    drawn = blueprint(network)
    workload = build_workload(drawn.scenario, drawn.model.vocab)
    return run_in_virtual(drawn, workload, lambda _: None)


def tokens(done: Run) -> dict[str, Any]:
    return {answer.request_id: answer.token_ids for answer in done.answers}


@pytest.fixture(scope="module")
def plain() -> Run:
    return run(None)


@pytest.mark.parametrize(
    "network",
    [
        {"type": "switch", "switch_latency": "300 ns", "switch_bandwidth": "500 GB/s"},
        {"type": "fat_tree", "routing": "adaptive", **LINK},
        {"type": "rail_optimised", "server": 4, "server_link": "nvlink5", **LINK},
        {"type": "dragonfly", "priorities": {"experts": 3}, "strict": True, **LINK},
        {"type": "torus", "dims": [3, 2, 2], "routing": "adaptive", **LINK},
        {"type": "direct", **LINK},
    ],
)
def test_tokens_do_not_depend_on_the_network(network: dict[str, Any], plain: Run) -> None:
    done = run(network)
    assert tokens(done) == tokens(plain)
    assert not any(done.held.values())
    assert done.network is not None and not_conserved(done.network) == ""
    assert done.trace_hash != plain.trace_hash
    assert plain.network is None and network_figures(None) is None and network_lines(None) == []


def test_the_same_run_twice_and_through_frames() -> None:
    """Where a receiver has another envelope than the sender, it is told of ends by notes."""
    once = run({"type": "torus", **LINK})
    assert run({"type": "torus", **LINK}).trace_hash == once.trace_hash
    drawn = blueprint({"type": "torus", **LINK})
    workload = build_workload(drawn.scenario, drawn.model.vocab)

    async def job(world: VirtualWorld) -> list[Answer]:
        return await Driver(world.gateway, world.client, lambda _: None).run(workload)

    answers = run_virtual(drawn, job, through_frames=True)
    assert [(a.request_id, a.token_ids, a.e2e_ns) for a in answers] == [
        (a.request_id, a.token_ids, a.e2e_ns) for a in once.answers
    ]


def test_a_wider_and_nearer_network_is_no_slower() -> None:
    """The same torus with a hundredth of the bandwidth, and then 10 us a hop."""

    def ends_ns(link: dict[str, Any]) -> int:
        link = {"base": "lowlat-2us", **link}
        return sum(answer.e2e_ns for answer in run({"type": "torus", "link": link}).answers)

    fast = ends_ns({"latency": "100 ns"})
    assert fast < ends_ns({"latency": "100 ns", "bandwidth": "4.5 GB/s"})
    assert fast < ends_ns({"latency": "10 us"})


def test_the_report_says_who_talks_to_whom() -> None:
    done = run({"type": "torus", **LINK})
    figures = network_figures(done.network)
    assert figures is not None
    assert figures["byte_hops"]["messages"] == figures["byte_hops"]["links"] > 0
    classes = {name for pair in figures["talk"] for name in pair["bytes"]}
    assert classes == {"experts", "kv", "retrieval", "rest"}
    for pair in figures["talk"]:
        if pair["from"].startswith("experts"):
            assert pair["to"].split("-")[0] in ("prefill", "decode")
    lines = network_lines(done.network)
    assert lines[0].startswith("network: experts ")
    assert any("prefill-0 " in line and "[magenta]" in line for line in lines)
    assert not any("on their way" in line for line in lines)


@pytest.mark.live
def test_the_process_world_has_one_too(plain: Run) -> None:
    drawn = blueprint({"type": "torus", **LINK}, **{"cluster.world": "process"})
    workload = build_workload(drawn.scenario, drawn.model.vocab)
    done = run_live(drawn, workload, lambda _: None, lambda _: None)
    assert tokens(done) == tokens(plain)
    figures = network_figures(done.network)
    assert figures is not None, "what nodes say of themselves may be on its way still"
    assert 0 < figures["byte_hops"]["links"] <= figures["byte_hops"]["messages"]


def test_a_cluster_with_a_network_keeps_its_counts() -> None:
    with pytest.raises(ScenarioError, match=r"cluster\.network: is laid out for the nodes"):
        scaled(blueprint({"type": "switch"}), {"decode": 3})
