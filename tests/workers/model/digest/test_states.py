"""Layers that keep a state: what it is, whatever the step, and what work and bytes it asks for."""

import json
from pathlib import Path

import numpy as np
import pytest

from configs.heads import heads_of
from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.schema.routing import Routing as Section
from configs.shapes.as_config import load_described
from configs.shapes.work import Run, layer_work
from tests.workers.model.digest.models import BF16, Whole
from workers.model.base import StepLayout, StepSequence
from workers.model.digest.numerics import Digest
from workers.model.digest.reference import reference_of
from workers.model.digest.routing import Routing, Uniform
from workers.model.sampling_params import SamplingParams
from workers.model.work import WorkModel

PROMPT = [7 * i % 300 for i in range(53)]
# 4 layers, the second and the fourth with keys and values: 2 heads of 32 numbers each.
MODEL = {
    "architectures": ["Qwen3NextForCausalLM"],
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "full_attention_interval": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "max_position_embeddings": 1024,
    "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 64,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 600,
}
# 4 heads of 16 x 16 in fp32; of 128 channels the 3 inputs that 4 taps still need, in bf16.
STATE = 4 * 16 * 16 * 4 + 128 * 3 * 2
ROUTING: Routing = Uniform(5, 8, 2)


@pytest.fixture
def config(tmp_path: Path) -> ModelConfig:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(MODEL))
    return load_described(path)


@pytest.mark.parametrize("chunk", [1, 5, 16, 1_000])
@pytest.mark.parametrize("block_size", [16, 32])
def test_answers_are_those_of_the_definition(
    config: ModelConfig, chunk: int, block_size: int
) -> None:
    of = reference_of(config, 16, 5, Section.model_validate("uniform"))
    wanted = of.answer(PROMPT, SamplingParams(max_tokens=8, ignore_eos=True))
    assert Whole(config, ROUTING, block_size).answer(PROMPT, 8, chunk) == wanted


def test_a_stale_state_and_that_of_another_show(config: ModelConfig) -> None:
    """The last token's alone is looked at: one that is a token old, or another sequence's."""
    right, stale, other = (Whole(config, ROUTING) for _ in range(3))
    for whole in (right, stale, other):
        whole.step(PROMPT[:20], 0)
    keys = stale.chip.read_blocks((0,)).view(np.uint64).reshape(4, 2, 16)
    keys[0, :, 3] = keys[0, :, 2]
    stale.chip.write_blocks((0,), keys.view(np.uint8).reshape(1, -1))
    foreign = Whole(config, ROUTING)
    foreign.step(PROMPT[20:40], 0)
    taken = foreign.chip.read_blocks((0,)).view(np.uint64).reshape(4, 2, 16)
    keys = other.chip.read_blocks((0,)).view(np.uint64).reshape(4, 2, 16)
    keys[2] = taken[2]
    other.chip.write_blocks((0,), keys.view(np.uint8).reshape(1, -1))
    found = {int(whole.step([9], 20)[0]) for whole in (right, stale, other)}
    assert len(found) == 3


def test_sequences_of_a_step_go_on_apart(config: ModelConfig) -> None:
    """Two of them in one step, from different places, beside each alone."""
    together, first, second = (Whole(config, ROUTING) for _ in range(3))
    one, two = (1, 2), (7, 4, 6)
    for whole in (together, first):
        whole.step(PROMPT[:9], 0, one)
    for whole in (together, second):
        whole.step(PROMPT[9:30], 0, two)
    first.step(PROMPT[30:35], 9, one)
    second.step(PROMPT[35:53], 21, two)
    layout = StepLayout((StepSequence(one, 9, 5), StepSequence(two, 21, 18)))
    x = together.chip.embed(np.array(PROMPT[30:53]))
    together.chip.attend(0, x, layout)
    for whole, blocks in ((first, one), (second, two)):
        here = together.chip.read_blocks(blocks).view(np.uint64).reshape(-1, 4, 32)
        alone = whole.chip.read_blocks(blocks).view(np.uint64).reshape(-1, 4, 32)
        assert np.array_equal(here[:, 0], alone[:, 0])


@pytest.mark.parametrize("layer", [0, 1])
def test_work_is_that_of_the_shape(layer: int) -> None:
    """Qwen3-Next: a state is read and written once a sequence, whatever its length; keys and
    values are those of a layer in four.
    """
    config = load_described("qwen3-next-80b-a3b")
    layer = 3 * layer
    layout = StepLayout((StepSequence((), 4000, 1), StepSequence((), 0, 7)))
    asked = WorkModel(config, BF16).attend(layer, layout).amounts()
    shape = config.shape  # type: ignore[attr-defined]
    wanted = layer_work(shape, layer, (Run(1, 4000), Run(7, 0)))
    read = asked["hbm.read"] - BF16.layer_bytes(config, layer) - (0 if layer else 8 * 2048 * 2)
    assert read == wanted.kv_read + wanted.state_read
    assert asked["hbm.write"] == wanted.kv_written + wanted.state_written
    gates = 2 * 8 * 512 * 2048  # of 8 tokens; that of the shared expert is a row in bf16
    assert asked["compute.fp32"] == gates + wanted.state_flops
    flops = wanted.flops - wanted.expert_flops
    assert asked["compute.bf16"] == flops - asked["compute.fp32"]
    assert (wanted.state_read > 0) == (layer == 0)


def test_bytes(config: ModelConfig) -> None:
    """A token leaves keys and values in two layers; a sequence a state in the other two, which
    travels with a block of its own.
    """
    assert (config.num_kv_layers, config.has_states) == (2, True)
    assert BF16.kv_bytes_per_token(config) == 2 * 2 * 2 * 32 * 2
    assert BF16.state_bytes(config) == 2 * STATE
    assert Precision().state_bytes(config) == 2 * (STATE + 128 * 3 * 2)
    numerics = Digest.of(config, BF16, "bf16", free_metadata=False, block_tokens=16)
    chip = Whole(config, ROUTING).chip
    assert numerics.kv_bytes(chip.read_blocks((1,))) == 16 * 512 + 2 * STATE
    assert numerics.kv_bytes(np.zeros((3, 2 * 2 * 16 * 8), np.uint8)) == 3 * 16 * 512
    counts = Digest.of(config, BF16, "bf16", free_metadata=False, carried=(1, 16), block_tokens=16)
    assert counts.kv_bytes(np.zeros((1, 4 * 2), np.uint8)) == 16 * 512 + 2 * STATE
    assert counts.kv_bytes(np.zeros((3, 2 * 2), np.uint8)) == 3 * 16 * 512


def test_a_rank_has_its_share_of_a_state() -> None:
    """Qwen3-Next on 4 ranks: 8 of 32 heads of 128 x 128, and a quarter of the convolution."""
    config = load_described("qwen3-next-80b-a3b")
    whole, ranks = BF16.state_bytes(config), heads_of(config, 4)
    assert [BF16.state_bytes(heads.part_of(config)) for heads in ranks if heads] == [whole // 4] * 4
    with pytest.raises(ValueError, match="does not divide the model's 16 query heads"):
        heads_of(config, 32)


def test_states_are_cut_by_heads(config: ModelConfig) -> None:
    """4 query heads and 2 groups of a state: two ranks have half of each, four do not."""
    heads = heads_of(config, 2)
    assert [BF16.state_bytes(each.part_of(config)) for each in heads if each] == [STATE, STATE]
    with pytest.raises(ValueError, match="the 2 parts into which its states' heads come"):
        heads_of(config, 4)
