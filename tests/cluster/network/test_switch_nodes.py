"""Nodes that are switches themselves: where they stand, how near they are, and what they add."""

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cluster.cli.show import render
from cluster.network.build import Network, make_network
from cluster.reports.network import not_conserved
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import ScenarioError, load_scenario
from configs.schema.cluster import ClusterSection
from configs.schema.network import NetworkSection
from tests.cluster.network.laid_out import INNER, OWN
from tests.cluster.worlds.chips_of_ranks import degrees, expected, served
from tests.workers.bench import Bench, make_link
from tests.workers.collectives.ranks import SWITCH, Ranks, names, shares
from workers.collectives import operations
from workers.model.numerics import EXACT_NUMERICS, total
from workers.wire.fabric.fabric import Fabric

PORTS = {"name": "ports", "latency": "0 ns", "bandwidth": "4 GB/s"}
ADDER: dict[str, Any] = {"workers": ["switch"], "device": "host-cpu", "link": "lowlat-2us"}
ADDS = {
    "cluster.network": {"type": "switch"},
    "cluster.nodes.adder": ADDER,
    "placement.collectives.all_reduce": "in_network",
}


def laid(at: str | None = None, **keys: Any) -> Network:
    """Four nodes chip-0 to chip-3, and one that is a switch."""
    cluster = ClusterSection.model_validate(
        {"nodes": {"chip": {"workers": ["chip"], "count": 4, "device": "h100-sxm", "link": OWN},
                   "switch": {"workers": ["switch"], "device": "h100-sxm", "link": PORTS,
                              "at": at}}},
        context={"text": True},
    )  # fmt: skip
    return make_network(NetworkSection.model_validate(keys, context={"text": True}), cluster)


def test_a_switch_is_half_as_far_as_what_is_behind_it() -> None:
    """There and on is as long as through it: its own latency is passed once."""
    one = laid(type="switch", switch_latency="30 ns", ports=4)  # it takes no port itself
    (there,), (back,) = one.between("chip-0", "switch-0"), one.between("switch-0", "chip-1")
    (through,) = one.between("chip-0", "chip-1")
    assert (there.latency_ns, back.latency_ns, through.latency_ns) == (30, 0, 30)
    assert there.at_switch and back.at_switch and not through.at_switch
    assert one.latency_ns("chip-0", "switch-0") == 30 and one.latency_ns("switch-0", "chip-1") == 0
    tree = laid("leaf-0", type="fat_tree", levels=2, arity=4, link=INNER, switch_latency="30 ns")
    assert tree.latency_ns("chip-0", "switch-0") == 30
    # edge, up, spine, down, and its own
    assert tree.latency_ns("chip-2", "switch-0") == 3 * 30 + 2 * 100
    assert tree.latency_ns("switch-0", "chip-2") == 2 * 30 + 2 * 100


def test_an_all_reduce_by_a_switch_by_hand() -> None:
    """4 ranks at 1 byte a ns and 1 us, a switch of 4 ports and 30 ns: half of the latency there,
    the other half back; a head is 64 + 8 + 4 and the group's name; on its way down a sum has the
    piece's answer beside it, of 64 bytes.
    """
    one = laid(type="switch", switch_latency="30 ns")
    links = dict.fromkeys(names(4), make_link()) | {
        SWITCH: make_link(latency_ns=0, bytes_per_s=4 * 10**9)
    }
    partials = shares(4, 3, 500)
    piece_ns = 3 * 500 * 4 + 64 + 8 + 4 + len("tp")

    async def job(bench: Bench) -> list[int]:
        ranks = Ranks(bench, 4, "all_reduce")
        begin_ns = bench.clock.now()
        begun = [
            await operations.all_reduce(group, "in_network", partial)
            for group, partial in zip(ranks.groups, partials, strict=True)
        ]
        for collective in begun:
            assert np.array_equal(await collective.receive(), total(EXACT_NUMERICS, partials))
        return [collective.ready_ns - begin_ns for collective in begun]

    bench = Bench(*links, links=links, fabric=lambda clock: Fabric(one.section, one, clock))
    by_hand_ns = (500 + 30 + piece_ns) + (500 + piece_ns + 64)
    assert all(abs(ns - by_hand_ns) <= 2 for ns in bench.run(job))


@pytest.mark.parametrize("degree", [(2, 1), (2, 2)], ids=str)
def test_ranks_whose_sums_a_switch_makes_give_the_same_tokens(degree: tuple[int, int]) -> None:
    found, kinds, _ = served({**degrees(prefill=degree, decode=degree), **ADDS})
    alone, others, _ = served(degrees(prefill=degree, decode=degree))
    assert found == alone == expected()
    assert kinds["piece"] == 2 * others["piece"], "a piece to the switch and one from it, each rank"


EXPERTS: dict[str, Any] = {
    "cluster.network": {"type": "switch"},
    "cluster.nodes.adder": ADDER,
    "cluster.nodes.experts.count": 4,
    "placement.experts.dispatch": "in_network",
    "placement.experts.combine": "in_network",
}


@pytest.mark.parametrize("numerics", ["real", "digest"])
@pytest.mark.parametrize("degree", [1, 2])
def test_experts_by_a_switch_give_the_same_tokens(numerics: str, degree: int) -> None:
    changes = {"model.numerics": numerics, **degrees(decode=(degree, 1))}
    found, kinds, _ = served({**changes, **EXPERTS})
    alone, _, _ = served({**changes, "cluster.nodes.experts.count": 4})
    assert found == alone
    assert kinds["multicast"] == kinds["reduced"] > 0
    assert kinds["relayed"] == kinds["partial"] > kinds["multicast"]


def test_every_byte_by_a_switch_is_accounted_for_and_shown() -> None:
    few = {"workload.arrivals.closed.num_requests": 3, "workload.sampling.max_tokens": 4}
    drawn = Blueprint.draw(load_scenario("demo", {**few, **EXPERTS}))
    done = run_in_virtual(drawn, build_workload(drawn.scenario, drawn.model.vocab), lambda _: None)
    assert done.network is not None and not_conserved(done.network) == ""
    assert not any(done.held.values())
    talk = done.network.talk
    assert sum(talk["decode-0", "adder-0"].num_bytes) > 0
    assert sum(talk["adder-0", "experts-0"].num_bytes) > 0
    shown = Console(width=160, file=StringIO(), record=True)
    shown.print(render(drawn.plan, drawn.scenario, drawn.model))
    text = shown.export_text()
    assert "adder-0 is switch: placement.experts.dispatch, placement.experts.combine" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"placement.collectives.all_reduce": "in_network"}, "placement.collectives.all_reduce: is "
         "'in_network', and no node works on what crosses it: add a group"),
        ({"cluster.nodes.adder": ADDER}, "cluster.nodes.adder.workers: names switch, and there is "
         "no cluster.network"),
        ({**ADDS, "cluster.network": {"type": "torus", "link": "lowlat-2us"}},
         "cluster.nodes.adder.workers: names switch, and a torus network has none"),
        ({**ADDS, "cluster.network": {"type": "fat_tree", "link": "lowlat-2us"}},
         "cluster.nodes.adder.at: is missing, and the network has"),
        ({**ADDS, "cluster.nodes.adder.at": "swich"}, "cluster.nodes.adder.at: no switch that all "
         "nodes reach is called 'swich': did you mean 'switch'?"),
        ({"cluster.nodes.adder": {**ADDER, "workers": ["switch", "experts"]}}, "workers names "
         "switch and experts: nobody else stands on a switch"),
        ({"cluster.nodes.decode.at": "switch"}, "at is 'switch', which is said of workers: [switch]"
         " alone"),
        ({"cluster.network": {"type": "switch", "strict": True}}, "strict is true and priorities "
         "are missing"),
        ({"placement.experts.combine": "in_network"}, "placement.experts.combine: is 'in_network', "
         "and no node works on what crosses it"),
        ({**EXPERTS, "placement.experts.mode": "ship"}, "placement.experts.dispatch: is "
         "'in_network', and placement.experts.mode 'ship': no token leaves its chip"),
    ],
)  # fmt: skip
def test_refused_with_what_would_do(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        Blueprint.draw(load_scenario("demo", changes), needs_weights=False)
    assert words in str(refused.value)
