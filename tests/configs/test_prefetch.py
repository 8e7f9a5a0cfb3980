"""Experts read ahead, in a scenario: what the plan refuses."""

import pytest

from configs.families import load_model
from configs.plan import make_plan
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario

H3 = {
    "cluster.nodes.experts.device": "b200-h3",
    "cluster.nodes.experts.tiers": {"experts": "hbf"},
    "placement.experts_prefetch": True,
}


def test_shards_that_ship_have_nothing_to_read_ahead_of() -> None:
    config = load_model(model_folder("perfuse-tiny"))
    make_plan(load_scenario("demo", H3), config)
    with pytest.raises(ScenarioError, match=r"experts_prefetch: is true, and .*mode 'ship'"):
        make_plan(load_scenario("demo", {**H3, "placement.experts.mode": "ship"}), config)
