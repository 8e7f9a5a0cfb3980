"""What counts carry, charge and declare: as digests do, with nothing in it."""

import numpy as np
import pytest

from configs.families import load_model
from configs.parts import Part
from configs.precision import Precision
from configs.presets import ROOT
from configs.shapes.as_config import load_described
from workers.chip.placeholders import Placeholders
from workers.errors import InvalidRequest
from workers.model.base import StepLayout, StepSequence
from workers.model.counts.asked import check_no_values
from workers.model.counts.cache import NoKeys
from workers.model.counts.chip_model import CountsChip, CountsRank
from workers.model.counts.expert_model import CountedExperts
from workers.model.digest.numerics import Digest
from workers.model.digest.routing import Uniform
from workers.model.digest.shape import KvSizes
from workers.model.program import Compute, Enter, Program
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Shaping
from workers.model.work import WorkModel

DEEPSEEK = load_model(ROOT / "scenarios" / "models" / "deepseek-v3.json")
LLAMA = load_described("llama-3.1-70b")
BF16 = Precision("bf16", "bf16")
LAYOUT = StepLayout((StepSequence((2, 0), 70, 1), StepSequence((1,), 3, 2)))


def chip(config=LLAMA, kind=CountsChip, part: Part | None = None) -> CountsChip:
    routing = Uniform(0, config.num_experts, config.top_k)
    return kind(config, 4, 64, BF16, WorkModel(config, BF16), routing, part)


@pytest.mark.parametrize(("config", "token"), [(DEEPSEEK, 576 * 2), (LLAMA, 8 * 128 * 2 * 2)])
def test_keys_are_charged_as_the_real_model_s(config, token: int) -> None:
    """A byte for each block, layer and unit: DeepSeek's one latent, or Llama's 8 heads."""
    blocks, layers = chip(config).read_blocks((2, 0, 1)), config.num_layers
    assert blocks.nbytes == 3 * layers * (1 if config is DEEPSEEK else 8)
    numerics = Digest.of(config, BF16, "bf16", free_metadata=False, carried=(1, 64))
    assert numerics.kv_bytes(blocks) == 3 * 64 * layers * token == 3 * chip(config).block_bytes
    assert numerics.kv_bytes(blocks.reshape(3, layers, -1)[:, 7]) == 3 * 64 * token


def test_a_rank_s_part_is_charged_as_such() -> None:
    """20 of 80 layers, and of them two of 8 heads."""
    rank = chip(kind=CountsRank, part=Part(20, 20, embeds=False, projects=False))
    blocks = rank.read_blocks((1, 3))
    assert blocks.shape == (2, 20, 1, 8, 1)
    kv = KvSizes.of(LLAMA, BF16, 1, 64)
    assert kv.kv_bytes(blocks.nbytes) == 2 * 64 * 20 * 8 * 128 * 2 * 2
    assert kv.kv_bytes(blocks[:, :, :, 2:4].nbytes) == 2 * 64 * 20 * 2 * 128 * 2 * 2
    rank.write_blocks((1, 3), blocks)
    with pytest.raises(ValueError, match="must be uint8"):
        rank.write_blocks((1, 3), blocks[:, 1:])


def launches(program: Program[Enter]) -> list[Compute]:
    found: list[Compute] = []
    sent: object = None
    while True:
        try:
            op = program.send(sent)
        except StopIteration:
            return found
        assert isinstance(op, Compute)
        found.append(op)
        sent = op.kernel(*op.args)


def test_layers_alike_are_launches_in_a_row() -> None:
    """The first embeds; then one launch, 79 times; the others ask for nothing."""
    model = chip()
    x = model.embed(np.array([5, 6, 7]))
    found = [launches(model.layer(n, lambda: x, LAYOUT)) for n in range(80)]
    assert [len(ops) for ops in found] == [1, 1] + [0] * 78
    assert [ops[0].work.times for ops in found[:2]] == [1, 79]
    assert found[1][0].work == model.attend_work(1, LAYOUT)._replace(times=79)


def test_experts_follow_from_token_and_position_alone() -> None:
    model = chip(DEEPSEEK)
    x = model.embed(np.array([5, 6, 5]))
    _, moe = model.attend(9, x, LAYOUT)
    assert moe is not None
    alone = StepLayout((StepSequence((1,), 4, 1),))
    _, again = model.attend(9, model.embed(np.array([5])), alone)
    assert again is not None
    assert again.experts_TK.tolist() == moe.experts_TK[2:].tolist()
    assert moe.experts_TK[0].tolist() != moe.experts_TK[2].tolist(), "another position"
    held = CountedExperts(DEEPSEEK, (3, 4), WorkModel(DEEPSEEK))
    sums = held.forward(9, moe.hidden_TH, moe.experts_TK, moe.weights_TK)
    assert sums.tolist() == [0, 0, 0]
    assert model.merge(x, sums).tolist() == [5, 6, 5]


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="block ids span 4"):
        NoKeys(4, 2, 1).read_blocks((4,))
    with pytest.raises(ValueError, match=r"must be uint8 \(1, 2\)"):
        NoKeys(4, 2, 1).write_blocks((1,), np.zeros((1, 3), dtype=np.uint8))


def test_placeholders_end_nothing_and_are_the_request_s() -> None:
    """Of 8 tokens three end an answer; each of the others comes."""
    some = Placeholders(8, (0, 3, 7))
    tokens = [some.token("r", place) for place in range(200)]
    assert set(tokens) == {1, 2, 4, 5, 6}
    assert tokens == [Placeholders(8, (0, 3, 7)).token("r", place) for place in range(200)]
    assert tokens != [some.token("s", place) for place in range(200)]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"logprobs": 0}, "logprobs"),
        ({"return_logits": True}, "return_logits"),
        ({"stop": ("x",)}, "stop"),
        ({"stop_token_ids": (4,)}, "stop_token_ids"),
        ({"shaping": Shaping(presence_penalty=1.0)}, "logit_bias"),
    ],
)
def test_what_hangs_on_values_is_refused_by_name(changes, param: str) -> None:
    with pytest.raises(InvalidRequest, match="computes no values") as refused:
        check_no_values(SamplingParams(**changes))
    assert refused.value.facts["param"] == param


def test_how_tokens_would_be_drawn_is_taken() -> None:
    check_no_values(SamplingParams(temperature=0.7, top_p=0.9, top_k=5, seed=3, min_tokens=2))
