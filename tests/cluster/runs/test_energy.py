"""The energy of whole clusters: what is idle, who spends for what, and that nothing gets lost."""

import pytest

from benchmarks.memory.energy import farthest, idle, idle_row, parts_row, whole
from cluster.runs.run import Run, run_in_virtual, run_live
from cluster.workload.build import TimedRequest, Workload
from cluster.worlds.virtual import EnergyLost
from configs.totals import idle_watts
from tests.cluster.worlds.cluster import blueprint, prompt, request, with_cards
from workers.hardware.energy.conservation import counted
from workers.hardware.hardware import Hardware

FAIR = {
    f"cluster.nodes.{group}.device.tiers.{tier}.sharing": "fair"
    for group, tier in (("prefill", "hbm"), ("decode", "hbm"), ("experts", "hbm"))
}


def four_questions() -> Workload:
    asked = [
        request(f"r{i}", prompt="Tell me the latency of Yolutus-11.",
                retrieval="cards")
        for i in range(2)
    ]  # fmt: skip
    asked += [request(f"s{i}", prompt_ids=prompt(i)) for i in range(2)]
    return Workload(tuple(TimedRequest(0, one) for one in asked), concurrency=4)


def spent(run: Run) -> dict[str, set[str]]:
    """Node -> phases that it spent anything for."""
    return {
        node: {phase for phases in reading.dynamic.values() for phase in phases}
        for node, reading in run.energy.items()
    }


def test_a_cluster_without_requests_burns_its_idle_watts() -> None:
    """Nodes: 2 hosts of 120 W, 5 H100 of 70 W, 2 memory servers of 20 W: 630 W for 10 ms."""
    readings = idle(blueprint(), 10_000_000)
    assert {node: counted(reading) for node, reading in readings.items()} == {
        "router": pytest.approx(1.2),
        "gateway": pytest.approx(1.2),
        "prefill-0": pytest.approx(0.7),
        "decode-0": pytest.approx(0.7),
        "decode-1": pytest.approx(0.7),
        "experts-0": pytest.approx(0.7),
        "experts-1": pytest.approx(0.7),
        "hbf-0": pytest.approx(0.2),
        "pnm-0": pytest.approx(0.2),
    }
    assert all(reading.dynamic == {} for reading in readings.values())


@pytest.mark.parametrize("changes", [{}, FAIR, {"cluster.nodes.pnm": None}])
def test_components_are_the_integral_of_power(changes: dict[str, object]) -> None:
    plan = with_cards(changes)
    run = run_in_virtual(plan, four_questions(), lambda _: None)
    assert farthest(run.energy) < 0.1
    assert farthest(run.energy) < 1e-4, "that was the bar; this is what floats do"
    told = whole(plan, run.energy)
    assert told.differences == ()
    assert parts_row("this", told).holds
    assert set(told.by_phase) == {
        "prefill", "decode", "retrieval", "kv_transfer", "serving", "idle"
    }  # fmt: skip


def test_each_node_spends_for_what_it_is_there() -> None:
    run = run_in_virtual(with_cards(), four_questions(), lambda _: None)
    phases = spent(run)
    assert phases["prefill-0"] == {"prefill", "kv_transfer", "serving"}
    assert phases["decode-0"] | phases["decode-1"] == {"decode", "kv_transfer", "serving"}
    assert {"prefill", "decode"} <= phases["experts-0"]
    assert "retrieval" in phases["pnm-0"]
    dynamic = run.energy["prefill-0"].dynamic
    assert set(dynamic["compute.fp32"]) == {"prefill"}
    assert set(dynamic["link"]) == {"prefill", "kv_transfer", "serving"}


def test_a_chip_that_does_both_is_split_by_tokens() -> None:
    """Prompts of 40 and steps of one token: its steps are of both kinds."""
    chip = {
        "cluster.nodes.prefill": None,
        "cluster.nodes.decode": None,
        "cluster.nodes.chip": {
            "workers": ["chip", "experts"], "device": "h100-sxm", "link": "lowlat-2us"
        },
        "cluster.nodes.experts": None,
        "placement.kv_pool": False,
    }  # fmt: skip
    asked = tuple(TimedRequest(i * 20_000, request(f"r{i}")) for i in range(4))
    run = run_in_virtual(blueprint(chip), Workload(asked, concurrency=4), lambda _: None)
    dynamic = run.energy["chip-0"].dynamic
    assert {"prefill", "decode"} <= set(dynamic["hbm.read"])
    assert {"prefill", "decode"} <= set(dynamic["hbm.write"]), "dispatches within the machine"
    assert "link" in dynamic


def test_the_benchmark_s_idle_row_holds() -> None:
    row = idle_row(blueprint())
    assert row.holds
    assert float(row.value) < 1e-9


def test_a_run_that_loses_energy_ends_with_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one would whose messages within a machine cost time and nothing else."""
    take = Hardware._take

    def cheap(self: Hardware, *args: object) -> float:
        return take(self, *args) * 0.999  # type: ignore[arg-type]

    monkeypatch.setattr(Hardware, "_take", cheap)
    with pytest.raises(EnergyLost, match=r"\S+: components and accounts differ: "):
        run_in_virtual(blueprint(), Workload((TimedRequest(0, request("r")),), 1), lambda _: None)


def test_a_live_world_s_accounts_agree_too() -> None:
    """On the wall clock, where hosts are late: energy is as exact, and idle power is that of the
    time that passed.
    """
    plan = blueprint({"cluster.world": "process", "cluster.dilation": 1_000})
    asked = tuple(TimedRequest(0, request(f"r{i}")) for i in range(2))
    run = run_live(plan, Workload(asked, concurrency=2), lambda _: None, lambda _: None)
    told = whole(plan, run.energy)
    assert told.differences == ()
    assert len(run.energy) == len(plan.plan.nodes)
    for node in plan.plan.nodes:
        read = run.energy[node.name]
        lasted_s = (read.until_ns - read.begin_ns) / 1e9
        assert read.static_joules == pytest.approx(idle_watts(node.device) * lasted_s)
    assert told.by_phase["decode"] > 0


def test_without_emulation_nothing_is_metered() -> None:
    plan = blueprint({"cluster.world": "process", "cluster.emulation": False})
    asked = (TimedRequest(0, request("r")),)
    run = run_live(plan, Workload(asked, concurrency=1), lambda _: None, lambda _: None)
    assert run.energy == {}
    assert run.joules == {}
