"""`perfuse model`: what a model is, from sizes alone, and where it fits."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cluster.cli.main import app
from configs.model_presets import model_names
from tests.workers.model.models import write_config, write_model

runner = CliRunner()


def model(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, ["model", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_a_shipped_description() -> None:
    code, text = model("deepseek-v3")
    assert code == 0
    for part in (
        "671.03 B · 36.63 B compute a token, 37.55 B with the embedding",
        "11.61 B more for multi-token prediction",
        "673 GB stored: fp8 (blocks of 128 x 128) attention, dense, experts, shared; bf16 all else",
        "bf16 70,272 B · fp8 35,136 B",
        "3 x MLA 512 + 64 · dense 18,432",
        "58 x MLA 512 + 64 · 8 of 256 x 2,048 + 2,048 shared",
        "real there are no weights here",
        "digest runs it",
        "h200-sxm 151 GB 5 ",
    ):
        assert part in text


def test_without_a_name_all_are_listed() -> None:
    code, text = model()
    assert code == 0
    assert [name for name in model_names() if f" {name} " not in text] == []
    assert model("--device", "h100-sxm")[0] == 2


def test_a_placement_needs_a_device() -> None:
    """What is asked for is not passed over."""
    for option in ("--tensor", "--pipeline", "--shards", "--context"):
        code, text = model("llama-3.1-8b", option, "8")
        assert (code, "name theirs with --device" in text) == (2, True)


def test_what_is_not_computed_says_so() -> None:
    for arguments in (["model", "gpt-oss-120b"], ["show", "gpt-oss-120b"]):
        result = runner.invoke(app, arguments)
        text = " ".join(result.output.split())
        assert "real GptOssForCausalLM is described, not computed: only Qwen3MoeForC" in text
        assert "digest runs it" in text
        assert "18 x GQA 64/8, window of 128 · 4 of 128 x 2,880" in text
    assert "digest runs it" in model("qwen3-next-80b-a3b")[1]
    assert "digest NemotronHForCausalLM has Mamba-2 64" in model("nemotron-3-nano")[1]
    run = runner.invoke(app, ["run", "single", "--set", "model.path=gpt-oss-120b"])
    assert run.exit_code == 2
    assert "gpt-oss-120b: is GptOssForCausalLM, which is described by its sizes" in run.output


def test_real_numbers_need_weights() -> None:
    """A description of a computed family is drawn, and refused by name where it should run."""
    keys = ("model.path=qwen3-30b-a3b", "model.dtype=bf16", "model.max_model_len=2048")
    options = [word for key in keys for word in ("--set", key)]
    shown = runner.invoke(app, ["show", "single", *options])
    assert (shown.exit_code, "128 experts on 1 shard" in " ".join(shown.output.split())) == (
        0,
        True,
    )
    run = runner.invoke(app, ["run", "single", *options])
    assert run.exit_code == 2
    assert "model.path: qwen3-30b-a3b is a description by sizes, without weights" in run.output


def test_a_scenario_file_names_a_description(tmp_path: Path) -> None:
    """A folder of that name beside it comes first."""
    file = tmp_path / "mine.yaml"
    text = "base: single\nmodel: {path: qwen3-30b-a3b, dtype: bf16, max_model_len: 2048}\n"
    file.write_text(text, encoding="utf-8")
    shown = runner.invoke(app, ["show", str(file)])
    assert (shown.exit_code, "model qwen3-30b-a3b bf16" in shown.output) == (0, True)
    write_config(tmp_path / "qwen3-30b-a3b")
    shown = runner.invoke(app, ["show", str(file)])
    assert "was made for a context of 256 tokens" in " ".join(shown.output.split())


def test_placed_on_chips(tmp_path: Path) -> None:
    file = tmp_path / "out" / "model.json"
    options = "--device h200-sxm --tensor 8 --pipeline 1 --shards 16 --context 8192".split()
    code, text = model("deepseek-v3", *options, "--json", str(file))
    assert code == 0
    assert "on h200-sxm: 8 chips (tensor 8, pipeline 1), 16 shards" in text
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["parameters"] == 671_026_419_200
    assert found["kv_bytes_per_token"]["bf16"] == 70_272
    assert found["runs"] == {
        "real": "there are no weights here: a folder with them is needed",
        "digest": None,
    }
    placed = found["placement"]
    assert placed["ranks"] == {"tensor": 8, "pipeline": 1, "shards": 16}
    assert placed["sequence_bytes"] == 8192 * 70_272
    assert placed["problems"] == []
    assert {"count": "parameters", "value": "671", "source": "arXiv 2412.19437, abstract"} in (
        found["published"]
    )


def test_the_fewest_chips_where_no_degrees_are_given() -> None:
    code, text = model("gpt-oss-120b", "--device", "h100-sxm", "--context", "4096")
    assert (code, "on h100-sxm: 1 chip (tensor 1, pipeline 1)" in text) == (0, True)
    code, text = model("deepseek-v3", "--device", "h200-sxm", "--tensor", "3")
    assert (code, "tensor is 3: it must divide 128 heads" in text) == (2, True)
    code, text = model("deepseek-v3", "--device", "h200-sxm", "--tensor", "1")
    assert (code, "does not fit: a chip's weights: needs 673.2 GB" in text) == (0, True)


def test_files_and_folders(tmp_path: Path) -> None:
    assert "digest runs it" in model(str(write_config(tmp_path / "sizes")))[1]
    text = model(str(write_model(tmp_path / "whole")))[1]
    assert "real runs it digest runs it" in text
    code, text = model(str(tmp_path))
    assert (code, "config.json: the file is missing" in text) == (2, True)
    code, text = model("llama-3.2")
    assert (code, "no model is called 'llama-3.2': did you mean" in text) == (2, True)
