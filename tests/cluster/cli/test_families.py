"""Every family of models runs in a cluster as it runs alone: the same bits, virtual world."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from configs.perfuse_tiny import MODEL_DIR
from tests.workers.model.fp8_models import write_fp8
from tests.workers.model.models import (
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    KERNEL_QWEN,
    KERNEL_V3,
    SIZES,
    write_model,
)

runner = CliRunner()
FAMILIES = {
    "Qwen3-MoE": SIZES,
    "DeepSeek-V2": DEEPSEEK_V2,
    "DeepSeek-V3": DEEPSEEK_V3,
    "DeepSeek-V3 on kernels": KERNEL_V3,
    "Qwen3-MoE fp8": KERNEL_QWEN,
    "DeepSeek-V3 fp8": DEEPSEEK_V3,
}

LARGER = {"vocab_size": 512, "max_position_embeddings": 1024}


def run(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with perfuse-tiny's tokenizer. Three shards share its experts unevenly."""
    sizes: dict[str, Any] = FAMILIES[request.param] | LARGER
    folder = tmp_path_factory.mktemp("family")
    if request.param.endswith("fp8"):
        write_fp8(folder, folder / "wide", sizes, shards=True)
    else:
        write_model(folder, sizes=sizes)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(MODEL_DIR / name, folder / name)
    return folder


@pytest.mark.parametrize("shards", [1, 3])
def test_generate_gives_the_same_bits_alone_and_through_a_cluster(
    tmp_path: Path, folder: Path, shards: int
) -> None:
    """Long and short prompts meet in chunks and batches; KV goes from chip to chip."""
    ids, alone, through = tmp_path / "ids.json", tmp_path / "alone.npy", tmp_path / "through.npy"
    rng = np.random.default_rng(shards)
    prompts = [rng.integers(0, 512, n).tolist() for n in (100, 3, 47, 16)]
    ids.write_text(json.dumps(prompts))
    common = ("generate", str(folder), "--ids", str(ids), "--max-tokens", "10", "--ignore-eos")
    first = run(*common, "--logits", str(alone))
    second = run(*common, "--logits", str(through), "--shards", str(shards))
    assert json.loads(first) == json.loads(second)
    assert np.load(alone).shape == (4, 10, 512)
    assert np.array_equal(np.load(alone), np.load(through))
    wide = folder / "wide"  # what fp8 was made of, dequantised
    if wide.is_dir():
        assert json.loads(run("generate", str(wide), *common[2:])) == json.loads(second)


def test_a_scenario_runs_with_it_and_lets_go_of_everything(tmp_path: Path, folder: Path) -> None:
    """Text in, text out, with a KV pool between requests."""
    out = tmp_path / "run.json"
    changes = (f"model.path={folder}", "workload.arrivals.poisson.num_requests=4")
    options = [word for change in changes for word in ("--set", change)]
    run("run", "poisson", *options, "--json", str(out))
    written = json.loads(out.read_text())
    assert len(written["answers"]) == 4
    assert not any(written["held"].values())
