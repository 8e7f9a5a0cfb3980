"""What is folded by itself, what can be asked for, and what is refused with the nearest that would
do.
"""

from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from configs.plan import FoldPlan
from configs.schema import ScenarioError, load_scenario

LIKE_HBM = {
    "capacity": "192 GB", "read": "1 TB/s", "write": "1 TB/s", "read_latency": "1 us",
    "write_latency": "1 us", "page": "64 B", "queue_depth": 65536, "read_energy": "1 pJ/bit",
    "write_energy": "1 pJ/bit",
}  # fmt: skip


def fold(changes: dict[str, Any]) -> FoldPlan:
    return Blueprint.draw(load_scenario("deepseek-ep32", changes)).plan.fold


def test_many_are_folded_and_few_are_not() -> None:
    assert not fold({}).is_on
    assert fold({}).why_not == ("no group has 64 chips or expert shards: chip has 32",)
    many = fold({"cluster.nodes.chip.count": 64})
    assert (len(many.chips), len(many.shards)) == (64, 32)
    assert "chip-0" in many and "experts-31" in many and "router" not in many
    assert not fold({"cluster.nodes.chip.count": 64, "cluster.fold": False}).is_on
    assert fold({"cluster.fold": True}).is_on


def test_many_that_cannot_be_folded_stay_as_they_are() -> None:
    plan = fold({"cluster.nodes.chip.count": 64, "model.micro_batches": 2})
    assert not plan.is_on
    assert plan.why_not == ("model.micro_batches is 2: a folded step is one batch; make it 1",)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model.micro_batches": 2}, "micro_batches is 2: a folded step is one batch; make it 1"),
        ({"cluster.nodes.chip.link.sharing": "fair"}, "fair.*go in order; make it fifo"),
        ({"cluster.nodes.chip.link.message_rate": "1 Mmsg/s"}, "message_rate is given"),
        ({"placement.experts.mode": "ship"}, "experts.mode is given.*make it near"),
        ({"cluster.network": {"type": "switch", "sharing": "fifo"}}, "network is a switch"),
        ({"placement.experts.timeout": "1 ms"}, "experts.timeout is given.*leave it out"),
        (
            {"cluster.nodes.chip.device.resources": {"nic": {"rate": 450e9}}},
            "chip.device.resources.nic is given: nothing is added at a folded link; leave it out",
        ),
        (
            {"cluster.nodes.experts.device.engines": {
                "pim": {"beside": "hbm", "compute": {"fp32": "1 TFLOP/s"}, "sharing": "fair"}}},
            "experts.device.engines.pim.sharing is 'fair'; make it fifo",
        ),
        (
            {"cluster.nodes.experts.device.tiers.hbm.layout": {
                "order": "row", "tile_rows": 128, "tile_columns": 128}},
            "tiers.hbm has layout.*leave it out",
        ),
        (
            {"cluster.nodes.experts.device.tiers.more": LIKE_HBM,
             "cluster.nodes.more": {"workers": ["experts"], "tiers": {"experts": "more"},
             "device": {"base": "b200-sxm", "tiers": {"more": LIKE_HBM}},
             "link": {"base": "nvlink5", "sharing": "fifo"}}},
            "experts-0 lie in hbm and those of more-0 in more; give cluster.nodes.more.tiers the",
        ),
        (
            {"cluster.nodes.more": {"workers": ["experts"], "count": 2, "device": "h100-sxm",
             "link": {"base": "nvlink5", "sharing": "fifo"}}},
            "experts-0 is a b200-sxm and more-0 a h100-sxm.*the device of experts",
        ),
        (
            {"cluster.nodes.more": {"workers": ["chip"], "count": 2, "device": "b200-sxm",
             "link": {"base": "ib-ndr", "sharing": "fifo"}}},
            "chip-0 has 900 GB/s.*more-0 50 GB/s.*the link of chip",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_refused_by_name(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=f"cluster.fold: is 'on', and .*{why}"):
        fold({"cluster.fold": "on", **changes})


def test_a_straggler_is_a_node_that_there_is() -> None:
    plan = Blueprint.draw(load_scenario("deepseek-ep32", {"cluster.nodes.chip.slow": {3: 1.5}}))
    assert {n.name: n.slow for n in plan.plan.nodes if n.slow != 1} == {"chip-3": 1.5}
    with pytest.raises(ScenarioError, match="slow names node 32, and the group has 32: 0 to 31"):
        load_scenario("deepseek-ep32", {"cluster.nodes.chip.slow": {32: 1.5}})
