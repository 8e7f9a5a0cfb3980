"""A model's config.json alone is enough to plan with, and never more than what is there fits."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from tests.configs.published import KIMI_K2, QWEN3_30B, QWEN3_30B_FP8, V3
from tests.workers.model.models import write_config, write_model

runner = CliRunner()


def show(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, ["show", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_what_deepseek_v3_asks_of_machines(tmp_path: Path) -> None:
    """673.4 GB of weights, nine H100 of 85.5 GB at 90 %, five H200 of 151 GB."""
    code, text = show(str(write_config(tmp_path, V3)))
    assert code == 0
    for part in (
        "671.03 B parameters, 36.63 B",
        "673 GB as fp8 (blocks of 128 x 128), computed in bf16",
        "70,272 B a token in bf16",
        "61, 3 of them dense",
        "h100-sxm 85.5 GB 9 ",
        "h200-sxm 151 GB 5 ",
        "There are no weights here",
    ):
        assert part in text


def test_the_file_itself_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "kimi.json"
    file.write_text(json.dumps(KIMI_K2), encoding="utf-8")
    code, text = show(str(file))
    assert (code, "1,026.41 B parameters" in text) == (0, True)
    code, text = show(str(tmp_path / "nowhere.json"))
    assert (code, "cannot read scenario" in text) == (2, True)


def test_precision_is_the_files(tmp_path: Path) -> None:
    for values, weights in (
        (QWEN3_30B, "61.1 GB as bf16"),
        (QWEN3_30B_FP8, "31.2 GB as fp8"),
        (QWEN3_30B | {"torch_dtype": "float32"}, "122 GB as fp32 (exact)"),
    ):
        assert weights in show(str(write_config(tmp_path, values)))[1]


def test_a_scenario_is_planned_without_weights(tmp_path: Path) -> None:
    """Whoever runs it needs them: that is said where it is run."""
    folder = write_config(tmp_path, QWEN3_30B_FP8)
    keys = (f"model.path={folder}", "model.dtype=bf16")
    options = [word for key in keys for word in ("--set", key)]
    code, text = show("single", *options)
    assert code == 0, text
    assert "fp8 (blocks of 128 x 128), computed in bf16" in text
    result = runner.invoke(app, ["run", "single", *options])
    assert result.exit_code == 2
    assert "model.safetensors: the file is missing" in " ".join(result.output.split())


def test_what_does_not_fit_a_device_is_told(tmp_path: Path) -> None:
    folder = write_config(tmp_path, V3)
    code, text = show("single", "--set", f"model.path={folder}", "--set", "model.dtype=bf16")
    assert code == 2
    assert "cannot stand" in text
    assert "673 GB" in text or "hbm" in text


def test_weights_that_are_there_must_fit(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    assert "There are no weights" not in show(str(folder))[1]
    write_config(folder, moe_intermediate_size=40)
    code, text = show(str(folder))
    assert (code, "has shape" in text) == (2, True)


@pytest.mark.parametrize("name", ["demo", "perfuse-tiny"])
def test_shipped_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is called like a scenario does not hide it."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "demo", V3)
    code, text = show(name)
    assert code == 0
    assert ("parameters" in text) == (name == "perfuse-tiny")


def test_a_model_has_no_keys(tmp_path: Path) -> None:
    code, text = show(str(write_config(tmp_path, V3)), "--set", "model.dtype=bf16")
    assert code == 2
    assert "--set model.path=" in text
