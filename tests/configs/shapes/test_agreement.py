"""What is really computed and what is described agree on every byte."""

from pathlib import Path

import pytest

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import Precision
from configs.shapes import held
from configs.shapes.describe import describe_file
from configs.shapes.of_config import shape_of
from configs.shapes.shape import ModelShape
from configs.shapes.work import Run, layer_work
from tests.configs.published import KIMI_K2, QWEN3_30B, QWEN3_30B_FP8, V3
from tests.workers.model.models import DEEPSEEK_V2, DEEPSEEK_V3, SIZES, write_config
from workers.model.base import StepLayout, StepSequence
from workers.model.work import WorkModel

PRECISIONS = (
    Precision(),
    Precision("bf16", "bf16"),
    Precision("bf16", "int8"),
    Precision("int8", "int8"),
    Precision("int4", "bf16"),
)
FILES = {
    "tiny": SIZES,
    "tiny tied": SIZES | {"tie_word_embeddings": True},
    "V2": DEEPSEEK_V2,
    "V3 small": DEEPSEEK_V3,
    "V3": V3,
    "K2": KIMI_K2,
    "Qwen3": QWEN3_30B,
    "Qwen3 FP8": QWEN3_30B_FP8,
}


@pytest.fixture(params=FILES)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelConfig, ModelShape]:
    folder = write_config(tmp_path, FILES[request.param])
    return load_model(folder), describe_file(folder)


def test_a_config_is_a_shape(both: tuple[ModelConfig, ModelShape]) -> None:
    """The file's own description is the computed model's, but for multi-token prediction."""
    config, shape = both
    made = shape_of(config)
    assert made.layers == shape.layers
    assert made.stored_bytes == shape.stored_bytes
    assert (made.num_experts, made.top_k) == (config.num_experts, config.top_k)
    layers = range(config.num_layers)
    assert [shape.is_dense(i) for i in layers] == [config.is_dense(i) for i in layers]


def test_parameters_and_kv(both: tuple[ModelConfig, ModelShape]) -> None:
    config, shape = both
    assert shape.parameters == config.total_bytes(1)
    for num_bytes in (1, 2, 4):
        assert shape.kv_bytes_per_token(num_bytes) == config.kv_bytes_per_token(num_bytes)
        assert shape.kv_bytes(7, num_bytes) == 7 * config.kv_bytes_per_token(num_bytes)


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_held_bytes(both: tuple[ModelConfig, ModelShape], precision: Precision) -> None:
    config, shape = both
    for layer in {0, config.num_layers - 1}:
        assert held.layer_bytes(shape, layer, precision) == precision.layer_bytes(config, layer)
    assert held.chip_bytes(shape, precision) == precision.chip_bytes(config)
    assert held.expert_bytes(shape, shape.sparse_layers[0], precision) == (
        precision.expert_bytes(config)
    )
    assert held.shard_bytes(shape, 3, precision) == precision.shard_bytes(config, 3)
    assert held.total_bytes(shape, precision) == precision.total_bytes(config)


def test_work(both: tuple[ModelConfig, ModelShape]) -> None:
    """What a chip declares of a layer in bf16, two sequences, three tokens and one."""
    config, shape = both
    runs = [Run(count=3, start=4), Run(count=1, start=9)]
    layout = StepLayout(tuple(StepSequence((), run.start, run.count) for run in runs))
    declared = WorkModel(config, Precision("bf16", "bf16"))
    for layer in {0, config.num_layers - 1}:
        work = layer_work(shape, layer, runs)
        demands = declared.attend(layer, layout).amounts()
        flops = work.flops - work.expert_flops
        assert sum(n for name, n in demands.items() if name.startswith("compute.")) == flops
        assert demands["hbm.write"] == work.kv_written
        weights = held.layer_bytes(shape, layer, Precision("bf16", "bf16"))
        embedding = 0 if layer else 4 * 2 * config.hidden  # the first looks up four rows
        assert demands["hbm.read"] == weights + work.kv_read + embedding
