"""Chip and experts give what the definition says, however a prompt is cut and blocks are sized."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from configs.model_config import ModelConfig
from configs.schema.routing import Routing as Section
from tests.workers.model.digest.models import GROUPED, LATENT, Whole
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.logits import CANDIDATES, FLOOR, logits_of
from workers.model.digest.mixing import mixed
from workers.model.digest.recorded import write_routing
from workers.model.digest.reference import reference_of
from workers.model.digest.routing import Balanced, Replayed, Routing, Skewed, Uniform
from workers.model.forward import as_it_is, forward
from workers.model.local import run_here
from workers.model.sampling_params import SamplingParams

PROMPT = [7 * i % 300 for i in range(53)]
MODELS = pytest.mark.parametrize("config", [GROUPED, LATENT], ids=["grouped", "latent"])


def reference(config: ModelConfig, section: object, count: int, block_size: int = 16) -> tuple:
    of = reference_of(config, block_size, 5, Section.model_validate(section))
    return of.answer(PROMPT, SamplingParams(max_tokens=count, ignore_eos=True))


ROUTINGS: Mapping[str, Callable[[int, int, int], Routing]] = {
    "uniform": Uniform,
    "balanced": Balanced,
    "zipf": partial(Skewed, zipf=1.2),
    "lognormal": partial(Skewed, lognormal=1.5),
    "bursty": partial(Skewed, zipf=0.8, stretch=9),
}
SECTIONS: Mapping[str, object] = {
    "uniform": "uniform",
    "balanced": "balanced",
    "zipf": {"zipf": 1.2},
    "lognormal": {"lognormal": 1.5},
    "bursty": {"bursty": {"zipf": 0.8, "stretch": 9}},
}


@MODELS
@pytest.mark.parametrize("name", ROUTINGS)
def test_answers_are_those_of_the_definition(config: ModelConfig, name: str) -> None:
    routing = ROUTINGS[name](5, config.num_experts, config.top_k)
    assert Whole(config, routing).answer(PROMPT, 8) == reference(config, SECTIONS[name], 8)


@MODELS
def test_replayed_routing_is_that_of_the_definition(config: ModelConfig, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = 40, config.num_sparse_layers
    draws = rng.random((*shape, config.num_experts)).argsort(axis=2)[:, :, : config.top_k]
    table = draws.astype(np.int32)
    write_routing(tmp_path / "routing", config.num_experts, table)
    routing = Replayed(5, table, config.dense_layers)
    wanted = reference(config, {"replay": str(tmp_path / "routing")}, 8)
    assert Whole(config, routing).answer(PROMPT, 8) == wanted


@MODELS
@pytest.mark.parametrize("chunk", [1, 7, 16, 40])
def test_chunks_do_not_matter(config: ModelConfig, chunk: int) -> None:
    uniform = Uniform(5, config.num_experts, config.top_k)
    assert Whole(config, uniform).answer(PROMPT, 4, chunk) == reference(config, "uniform", 4)


@MODELS
def test_blocks_of_every_multiple_of_a_span_give_one_text(config: ModelConfig) -> None:
    uniform = Uniform(5, config.num_experts, config.top_k)
    answers = {size: Whole(config, uniform, size).answer(PROMPT, 6) for size in (16, 32, 64)}
    assert set(answers.values()) == {reference(config, "uniform", 6)}
    assert Whole(config, uniform, 24).answer(PROMPT, 6) == reference(config, "uniform", 6, 24)


@MODELS
def test_who_comes_along_does_not_matter(config: ModelConfig) -> None:
    """Two sequences in one step: each row is what it is alone, but where routing is balanced the
    rows agree as well, because experts are alike.
    """
    other = [3 * i % 300 for i in range(20)]
    for routing in (
        Uniform(5, config.num_experts, config.top_k),
        Balanced(5, config.num_experts, config.top_k),
    ):
        alone = Whole(config, routing)
        rows = np.concatenate([alone.step(PROMPT, 0), alone.step(other, 0)])
        both = Whole(config, routing)
        layout = StepLayout(
            (StepSequence((9, 8, 7, 6), 0, len(PROMPT)), StepSequence((1, 2), 0, len(other)))
        )
        x = both.chip.embed(np.array([*PROMPT, *other]))
        last = run_here(forward(both.chip, partial(as_it_is, x), layout), both.experts)()
        assert np.array_equal(last, rows)


def test_a_step_that_is_computed_again_gives_the_same() -> None:
    """As after a preemption, or where the last block of a prompt was found elsewhere."""
    whole = Whole(GROUPED)
    first = whole.step(PROMPT, 0)
    assert np.array_equal(whole.step(PROMPT[30:], 30), first[30:])


def test_mixing_by_hand() -> None:
    """splitmix64 seeded with 0 begins with 0xE220A8397B1DCDAF (its author's test vector)."""
    assert int(mixed(np.array([0x9E3779B97F4A7C15], np.uint64))[0]) == 0xE220A8397B1DCDAF


def test_logits_have_candidates_and_a_floor() -> None:
    logits = logits_of(np.array([1, 2, 3], np.uint64), 100_000)
    assert logits.shape == (3, 100_000) and logits.dtype == np.float32
    assert ((logits > FLOOR).sum(axis=1) == CANDIDATES).all()
    assert logits[logits > FLOOR].min() >= 0 and logits.max() < 16
    assert len({int(row.argmax()) for row in logits}) == 3


def test_ids_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match=r"token ids span 7 \.\. 300; they must be from 0 to 299"):
        Whole(GROUPED).chip.embed(np.array([7, 300]))
