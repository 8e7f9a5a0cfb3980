"""Chips whose ranks hold slices of the same keys, in a plan: their KV by hand, and refusals."""

from typing import Any

import pytest

from configs.block_form import BlockForm
from configs.families import load_model
from configs.parts import Ranks, parts_of
from configs.plan import make_plan
from configs.plan.forms import form_notes
from configs.presets import model_folder
from configs.schema import Scenario, ScenarioError, load_scenario

TINY = load_model(model_folder("perfuse-tiny"))
CHIP = {"workers": ["chip"], "device": "h100-sxm", "link": "lowlat-2us"}


def scenario(chip: dict[str, object], **changes: object) -> dict[str, object]:
    return {
        "placement.kv_pool": False,
        "cluster.nodes.prefill": None,
        "cluster.nodes.decode": None,
        "model.numerics": "digest",
        "cluster.nodes.chip": {**CHIP, **chip},
        **{key.replace("__", "."): value for key, value in changes.items()},
    }


def problems(chip: dict[str, object], **changes: object) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        make_plan(load_scenario("demo", scenario(chip, **changes)), TINY)
    return list(error.value.problems)


EIGHT: dict[str, object] = {"tensor_parallel_size": 8}
CUT = {**EIGHT, "decode_context_parallel_size": 2}


def test_a_rank_keeps_half_of_each_block() -> None:
    """4 layers of one KV head of 32, key and value, 4 bytes each: 1,024 bytes a token; of 16 tokens
    in a block 8 are here.
    """
    whole, cut = (
        make_plan(load_scenario("demo", scenario(chip, model__num_kv_blocks=64)), TINY)
        for chip in (EIGHT, CUT)
    )
    for name in cut.ranks["chip-0"].names:
        worker: Any = cut.worker(name)
        before: Any = whole.worker(name)
        token_bytes = TINY.num_layers * 2 * TINY.head_dim * 4
        assert worker.kv_bytes == 64 * 8 * token_bytes == before.kv_bytes // 2
        assert worker.form.size == 16, "a block is as many tokens for whoever schedules"
    assert (whole.span_tokens, cut.span_tokens) == (16, 8)


def test_the_room_of_a_rank_is_twice_as_many_blocks() -> None:
    small = {"base": "h100-sxm", "tiers": {"hbm": {"capacity": "8 MB"}}}
    blocks = []
    for chip in (EIGHT, CUT):
        changes = scenario({**chip, "device": small}, model__num_kv_blocks=None)
        worker: Any = make_plan(load_scenario("demo", changes), TINY).worker("chip-0")
        blocks.append(worker.num_kv_blocks)
    assert blocks[1] in (2 * blocks[0], 2 * blocks[0] + 1)


def test_ranks_in_a_row_share() -> None:
    ranks = Ranks(8, tuple("abcdefgh"), parts_of(TINY, 8, 1, context=2))
    assert [list(ranks.sharers(rank)) for rank in (0, 1, 6, 7)] == [[0, 1]] * 2 + [[6, 7]] * 2


def apart(decode: dict[str, object], **changes: object) -> Scenario:
    """A prefill chip beside them."""
    prefill = {**CHIP, "workers": ["prefill"]}
    groups = {"cluster.nodes.prefill": prefill, "cluster.nodes.chip": None}
    decode = {**CHIP, "workers": ["decode"], **decode}
    return load_scenario(
        "demo", scenario({}, **changes) | groups | {"cluster.nodes.decode": decode}
    )


def test_a_decode_chip_may_have_slices_and_it_is_said_what_travels() -> None:
    chips = apart(CUT, model__dtype="bf16")
    plan = make_plan(chips, TINY)
    assert plan.forms["prefill-0"] == BlockForm(16, "bf16")
    assert plan.forms["decode-0-rank-7"] == BlockForm(16, "bf16", 2)
    assert plan.span_tokens == 8
    assert form_notes(chips) == [
        "KV of prefill (blocks of 16 tokens in bf16) goes to decode (blocks of 16 tokens in 2 "
        "slices in bf16) in pieces of 8 tokens in bf16"
    ]


def test_counts_are_handed_over_where_as_much_lies_in_one_place() -> None:
    with pytest.raises(ScenarioError) as error:
        make_plan(apart(CUT, model__numerics="counts"), TINY)
    assert any("(prefill 16, decode 8)" in problem for problem in error.value.problems)
    fitting = {**CUT, "kv": {"block_size": 32}}
    plan = make_plan(apart(fitting, model__numerics="counts"), TINY)
    assert plan.span_tokens == 16


@pytest.mark.parametrize(
    ("chip", "changes", "texts"),
    [
        ({**EIGHT, "decode_context_parallel_size": 4}, {}, ("is 4", "by 2 ranks", "does is 2")),
        ({"decode_context_parallel_size": 2}, {}, ("is 2", "by 1 rank:", "does is 1")),
        (CUT, {"model__block_size": 15}, ("15 tokens", "kv.block_size that it divides is 16")),
    ],
)
def test_refusals_name_the_nearest_that_would_do(
    chip: dict[str, object], changes: dict[str, object], texts: tuple[str, ...]
) -> None:
    found = [p for p in problems(chip, **changes) if "decode_context_parallel_size" in p]
    assert len(found) == 1, found
    assert found[0].startswith("cluster.nodes.chip.decode_context_parallel_size: is ")
    for text in texts:
        assert text in found[0]
