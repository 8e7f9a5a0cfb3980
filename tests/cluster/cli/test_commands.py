"""Commands as users type them: what they print, what they write, and how they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from configs.perfuse_tiny import MODEL_DIR, load_questions

runner = CliRunner()


def run(*arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_ask_prints_the_answer_its_passages_and_the_times() -> None:
    question = next(q for q in load_questions() if q.card is not None)
    text = run("ask", question.question)
    assert question.answer in text
    assert "expert wait" in text and "end to end" in text


def test_run_writes_figures_and_answers(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    text = run(
        "run", "demo", "--set", "workload.arrivals.closed.num_requests=6", "--json", str(out)
    )
    assert "TPOT" in text
    written = json.loads(out.read_text())
    assert written["world"] == "virtual"
    joules = [told[what] for told in written["joules"].values() for what in ("machine", "link")]
    token_uj = sum(joules) / written["summary"]["num_tokens"] * 1e6
    assert f"energy of a token {token_uj:,.1f} uJ (projection)" in text
    assert len(written["answers"]) == 6
    assert written["trace_hash"]
    assert not any(written["held"].values())


def test_two_runs_have_one_trace_hash(tmp_path: Path) -> None:
    def trace_hash(seed: int) -> str:
        out = tmp_path / "run.json"
        run("run", "poisson", "--set", "workload.arrivals.poisson.num_requests=6",
            "--set", f"seed={seed}", "--json", str(out))  # fmt: skip
        found: str = json.loads(out.read_text())["trace_hash"]
        return found

    assert trace_hash(1) == trace_hash(1)
    assert trace_hash(1) != trace_hash(2)


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_generate_gives_the_same_bits_alone_and_through_a_cluster(
    tmp_path: Path, shards: int
) -> None:
    ids, alone, through = tmp_path / "ids.txt", tmp_path / "alone.npy", tmp_path / "through.npy"
    ids.write_text("1 2 3 4 5 6 7 8 9 10\n11 12 13\n")
    common = ("generate", str(MODEL_DIR), "--ids", str(ids), "--max-tokens", "12", "--ignore-eos")
    first = run(*common, "--logits", str(alone))
    second = run(*common, "--logits", str(through), "--shards", str(shards))
    assert json.loads(first) == json.loads(second)
    assert np.load(alone).shape == (2, 12, 512)
    assert np.array_equal(np.load(alone), np.load(through))


@pytest.mark.parametrize("text", ["", "[]", "1 2 x", "[[1], []]", "[-1]", '{"a": 1}', "[1.5]"])
def test_generate_refuses_what_are_no_token_ids(tmp_path: Path, text: str) -> None:
    ids = tmp_path / "ids"
    ids.write_text(text)
    output = run("generate", str(MODEL_DIR), "--ids", str(ids), code=2)
    assert str(ids) in output.replace("\n", "")


def test_generate_looks_for_its_files_first(tmp_path: Path) -> None:
    ids, out, blocked = tmp_path / "ids", tmp_path / "new" / "ids.json", tmp_path / "file"
    ids.write_text("1 2 3")
    blocked.touch()
    common = ("generate", str(MODEL_DIR), "--ids", str(ids), "--max-tokens", "2")
    run(*common, "--out", str(out))
    assert len(json.loads(out.read_text())) == 2
    told = run(*common, "--logits", str(blocked / "x.npy"), code=2)
    assert told.startswith("error:") and str(blocked) in told.replace("\n", "")


def test_run_looks_for_its_file_first(tmp_path: Path) -> None:
    (blocked := tmp_path / "file").touch()
    told = run("run", "demo", "--json", str(blocked / "x.json"), code=2)
    assert told.startswith("error:") and str(blocked) in told.replace("\n", "")


def test_a_token_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    ids.write_text("99999")
    assert "511" in run("generate", str(MODEL_DIR), "--ids", str(ids), code=2)
    assert "511" in run("generate", str(MODEL_DIR), "--ids", str(ids), "--shards", "2", code=2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "no-such-scenario"), "no-such-scenario"),
        (("run", "demo", "--set", "cluster.dilatation=3"), "dilatation"),
        (("run", "demo", "--set", "dilation"), "KEY=VALUE"),
        (("run", "demo", "--set", "model.path=nowhere/at/all"), "nowhere/at/all"),
        (("run", "demo", "--set", "cluster.nodes.decode=null"), "decode"),
        (("show", "demo", "--set", "cluster.nodes.experts.count=9"), "experts"),
        (("ask", "x", "--scenario", "single"), "vector store"),
        (("index", "nowhere-at-all"), "nowhere-at-all"),
        (("serve", "--model", "nowhere/at/all"), "nowhere/at/all"),
        (("serve", "--model", "perfuse-tiny", "--world", "virtual"), "process"),
        (("serve", "--model", "perfuse-tiny", "--dtype", "fp3"), "model.dtype"),
        (("serve", "server", "--max-num-seqs", "1000"), "max_num_batched_tokens"),
        (("serve", "server", "--max-model-len", "4096"), "model.max_model_len"),
        (("serve", "server", "--num-gpu-blocks-override", "3"), "model.num_kv_blocks"),
        (("serve", "server", "--max-model-len", "1"), "model.max_model_len"),
        (("serve", "server", "--host", "no.such.host.invalid"), "no.such.host.invalid"),
        (("serve", "server", "--port", "99999"), "port is 99999"),
        (("serve", "server", "--port", "-1"), "port is -1"),
        (("serve", "server", "--dilation", "5"), "cluster.dilation"),
        (("serve", "--model", "perfuse-tiny", "--set", "model.path=x"), "--model replaces"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_starts(arguments: tuple[str, ...], named: str) -> None:
    output = run(*arguments, code=2)
    assert named in output.replace("\n", " ")
    assert "Traceback" not in output and "loading" not in output


def test_an_index_is_made_and_served(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "cards.txt").write_text(
        "The colour of Quorlax-3 is red.\nThe price of Ix-1 is 3 USD.\n"
    )
    assert "2 passages" in run("index", str(folder), "--out", str(tmp_path / "made"))
    text = run(
        "ask", "What is the colour of Quorlax-3?",
        "--set", f"placement.collections.mine={{path: {tmp_path / 'made'}}}", "--store", "mine",
    )  # fmt: skip
    assert "The colour of Quorlax-3 is red." in text


def test_show_draws_every_node() -> None:
    text = run("show", "demo")
    for name in ("router", "gateway", "prefill", "decode", "experts", "hbf", "pnm"):
        assert name in text
