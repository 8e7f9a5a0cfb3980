"""KV of other forms in one cluster (`cluster.nodes.<group>.kv`): what is planned, said, refused."""

from collections.abc import Mapping

import pytest

from configs.block_form import BlockForm
from configs.families import load_model
from configs.plan import ChipPlan, make_plan
from configs.plan.forms import form_notes
from configs.presets import model_folder
from configs.schema import Scenario, ScenarioError, load_scenario

TINY = load_model(model_folder("perfuse-tiny"))
DECODE = "cluster.nodes.decode.kv"


def scenario(changes: Mapping[str, object]) -> Scenario:
    return load_scenario("demo", changes)


def test_each_group_has_room_for_blocks_of_its_own_form() -> None:
    """With room for all, tokens are as many as bytes hold: 2,048 B a token in bf16, 1,152 in
    int8.
    """
    asked = {"model.dtype": "bf16", f"{DECODE}.dtype": "int8", f"{DECODE}.block_size": 64}
    plan = make_plan(scenario(asked), TINY)
    forms = {name: form for name, form in plan.forms.items() if not name.startswith("decode-1")}
    assert forms == {"prefill-0": BlockForm(16, "bf16"), "decode-0": BlockForm(64, "int8")}
    held = {w.name: w.kv_bytes for w in plan.workers if isinstance(w, ChipPlan)}
    assert (held["prefill-0"], held["decode-0"]) == (4096 * 16 * 2048, 4096 * 64 * 1152)
    assert plan.common_tokens == 16


def test_what_a_handover_costs_is_said() -> None:
    asked = {"model.dtype": "bf16", f"{DECODE}.dtype": "int8", f"{DECODE}.block_size": 64}
    assert form_notes(scenario(asked)) == [
        "KV of prefill (blocks of 16 tokens in bf16) goes to decode (blocks of 64 tokens in int8) "
        "in pieces of 16 tokens in int8, converted by prefill: it is as exact as int8"
    ]
    assert form_notes(scenario({})) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {f"{DECODE}.dtype": "int8"},
            r"cluster.nodes.decode.kv.dtype: is 'int8' and model.dtype fp32, which is exact mode",
        ),
        (
            {"cluster.nodes.experts.kv.block_size": 64},
            "cluster.nodes.experts.kv: is given, and workers names experts: only prefill, decode",
        ),
        ({f"{DECODE}.block_size": 24}, "cluster.nodes.decode.kv: block_size is 24: it must be"),
        (
            {f"{DECODE}.block_size": 64, "placement.kv_near": {"keep": 1}},
            "placement.kv_near: is given, and chips of cluster.nodes.prefill keep blocks of 16",
        ),
    ],
    ids=str,
)
def test_what_is_not_combined_is_refused(changes: Mapping[str, object], why: str) -> None:
    with pytest.raises(ScenarioError) as error:
        make_plan(scenario(changes), TINY)
    assert any(why in problem for problem in error.value.problems), error.value.problems
