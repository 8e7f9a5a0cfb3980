"""A described model in the place of a computed one: its bytes and its work are the shape's."""

import pickle

import pytest

from configs.checkpoint_files import CheckpointError
from configs.model_config import ModelConfig
from configs.plan import make_plan
from configs.precision import Precision
from configs.schema import Scenario, ScenarioError
from configs.shapes import held
from configs.shapes.as_config import DescribedConfig, load_described
from configs.shapes.describe import describe_model
from configs.shapes.work import Run, layer_work
from workers.model.base import StepLayout, StepSequence
from workers.model.work import WorkModel

BF16 = Precision("bf16", "bf16")
# Dense; experts everywhere; windows, biases and mxfp4; int4 experts; a dense layer first; chunks;
# an index.
NAMES = (
    "llama-3.1-405b",
    "mixtral-8x7b",
    "gpt-oss-120b",
    "kimi-k2.5",
    "step-3.7-flash",
    "llama-4-scout",
    "deepseek-v3.2",
)


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_the_shapes(name: str) -> None:
    config, shape = load_described(name), describe_model(name)
    assert config.total_bytes(1) == shape.parameters
    assert config.kv_bytes_per_token(2) == shape.kv_bytes_per_token(2)
    for layer in (0, config.num_layers - 1):
        assert BF16.layer_bytes(config, layer) == held.layer_bytes(shape, layer, BF16)
    for precision in (BF16, Precision("int8", "int8")):
        assert config.is_dense(0) == shape.is_dense(0)
        near = precision.total_bytes(config) / held.total_bytes(shape, precision)
        assert abs(near - 1) < 1e-3  # biases of experts are held as their matrices are


@pytest.mark.parametrize("name", NAMES)
def test_work_is_the_shapes(name: str) -> None:
    """A prefill of 300 tokens and a decode at 5,000, in each kind of layer, one after the other."""
    config, shape = load_described(name), describe_model(name)
    runs = [Run(count=300, start=10), Run(count=1, start=5000)]
    layout = StepLayout(tuple(StepSequence((), run.start, run.count) for run in runs))
    counts = WorkModel(config, BF16)
    for layer in (0, 1, 2, 3, config.num_layers - 1):
        work, asked = layer_work(shape, layer, runs), counts.attend(layer, layout).amounts()
        flops = sum(n for what, n in asked.items() if what.startswith("compute."))
        assert flops == work.flops - work.expert_flops
        assert asked["hbm.write"] == work.kv_written
        embedding = 0 if layer else 301 * 2 * config.hidden  # the first looks up a row a token
        assert asked["hbm.read"] == BF16.layer_bytes(config, layer) + work.kv_read + embedding


def test_layers_of_a_window_are_not_taken_for_others() -> None:
    config = load_described("gpt-oss-20b")
    counts = WorkModel(config, BF16)
    layout = StepLayout((StepSequence((), 4095, 1),))
    near, far = (counts.attend(layer, layout).amounts()["hbm.read"] for layer in (2, 3))
    assert far - near == (4096 - 128) * 2 * 8 * 64 * 2


def test_an_index_reads_all_its_keys_and_attention_the_chosen_ones() -> None:
    """DeepSeek-V3.2 at 5,000 tokens: 2,048 latents of 576 numbers in bf16, 5,001 keys of 128 bytes
    in fp8 with an fp32 scale; 64 heads of 128 score each key, 128 heads meet each latent.
    """
    config = load_described("deepseek-v3.2")
    asked = WorkModel(config, BF16).attend(5, StepLayout((StepSequence((), 5000, 1),))).amounts()
    assert asked["hbm.read"] - BF16.layer_bytes(config, 5) == 2048 * 576 * 2 + 5001 * 132
    weights = 2 * (config.layer_weights(5) - 256 * 7168)
    pairs = 2 * 2048 * 128 * (2 * 512 + 64) + 2 * 5001 * 64 * 128
    assert asked["compute.bf16"] == weights + pairs
    assert BF16.kv_bytes_per_token(config) == 61 * (576 * 2 + 132)


def test_experts_are_read_as_they_are_stored() -> None:
    """mxfp4: half a byte and a byte for 32; biases in bf16."""
    expert = 3 * 2880 * 2880 // 2 + 3 * 2880 * 2880 // 32 + 2 * 3 * 2880
    assert BF16.expert_bytes(load_described("gpt-oss-120b")) == expert
    weights = 3 * 7168 * 2048
    assert BF16.expert_bytes(load_described("kimi-k2.5")) == weights // 2 + weights // 32 * 2


def test_computed_models_are_those_that_are_computed() -> None:
    for name in ("deepseek-v3", "kimi-k2", "qwen3-30b-a3b"):
        assert type(load_described(name)) is ModelConfig
    config = load_described("gpt-oss-20b")
    assert type(config) is DescribedConfig
    assert pickle.loads(pickle.dumps(config)).total_bytes(1) == config.total_bytes(1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("glm-5.2", "best 2,048 of all in layer 3, with another index than in layer 0"),
        ("deepseek-v4-pro", "keeps HCA, 1 entry for 128 tokens"),
        ("nemotron-3-nano", "has Mamba-2 64 x 64 x 128 and no network in layer 0"),
        ("gemma-4-26b-a4b", "has other heads in some layers than in others"),
        ("mimo-v2-flash", "has keys and values of other widths in layer 0"),
        ("llama-4-maverick", "has dense layers among those with experts"),
    ],
)
def test_what_no_cache_of_equal_blocks_holds(name: str, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_described(name)
    text = str(caught.value)
    assert text.startswith(f"{name}: ")
    assert words in text
    assert "\n" not in text


def scenario(**nodes: object) -> Scenario:
    host = {"workers": ["router", "gateway"], "device": "host-cpu", "link": "ideal-1us"}
    chip = {"device": {"base": "h100-sxm", "tiers": {"hbm": {"capacity": "2 TB"}}}}
    groups = {"host": host, "chip": {"workers": ["chip"], "link": "ideal-1us"} | chip} | nodes
    return Scenario.model_validate(
        {
            "name": "dense",
            "cluster": {"world": "virtual", "nodes": groups},
            "model": {"path": "llama-3.1-405b", "dtype": "fp32", "max_model_len": 1024},
            "workload": {
                "arrivals": {"closed": {"concurrency": 1, "num_requests": 1}},
                "prompts": {
                    "synthetic": {"input_length": {"fixed": 9}, "output_length": {"fixed": 2}}
                },
            },
        }
    )


def test_a_dense_model_needs_no_shards_and_has_none() -> None:
    config = load_described("llama-3.1-405b")
    plan = make_plan(scenario(), config)
    assert plan.experts == {}
    shards = {"workers": ["experts"], "device": "h100-sxm", "link": "ideal-1us"}
    with pytest.raises(ScenarioError, match="the model has no experts: leave experts out"):
        make_plan(scenario(experts=shards), config)
    assert [load_described(name).has_windows for name in NAMES] == [
        False, False, True, False, True, True, False
    ]  # fmt: skip
    sparse = load_described("mixtral-8x7b")
    with pytest.raises(ScenarioError, match="no expert shard"):
        make_plan(scenario(), sparse)
