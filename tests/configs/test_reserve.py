"""`placement.reserve`: what of a chip's KV stays free when a request comes to others."""

import pytest

from configs.plan import ChipPlan, make_plan
from configs.schema import ScenarioError, load_scenario
from tests.configs.test_plan import TINY


def watermarks(**changes: object) -> set[int | None]:
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    plan = make_plan(load_scenario("single", keys), TINY)
    return {worker.watermark_blocks for worker in plan.workers if isinstance(worker, ChipPlan)}


@pytest.mark.parametrize(("num_blocks", "expected"), [(64, 1), (100, 1), (101, 2), (4096, 41)])
def test_a_hundredth_of_the_blocks_rounded_up_stays_free(num_blocks: int, expected: int) -> None:
    few = {"model__num_kv_blocks": num_blocks, "model__max_model_len": 512}
    assert watermarks(placement__reserve="watermark", **few) == {expected}
    assert watermarks(placement__reserve="full", **few) == watermarks(**few) == {None}


def test_another_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ScenarioError, match=r"placement\.reserve.*'full' or 'watermark'"):
        load_scenario("single", {"placement.reserve": "half"})


def test_a_chip_that_cannot_hold_one_whole_request_is_refused_before_anything_starts() -> None:
    """7 blocks of 16 hold 112 tokens, and a request may have 128: it would never end."""
    small = {
        "placement.reserve": "watermark",
        "model.num_kv_blocks": 7,
        "model.max_model_len": 128,
    }
    with pytest.raises(ScenarioError, match=r"lower model\.max_model_len to 112"):
        make_plan(load_scenario("single", small), TINY)
