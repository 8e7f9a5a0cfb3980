"""`perfuse run --record-routing`, and what reads its file."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from workers.model.digest.recorded import read_routing

runner = CliRunner()
FEW = ("--set", "workload.arrivals.closed.num_requests=4", "--set", "placement.collections=null",
       "--set", "workload.prompts.questions.retrieval=null")  # fmt: skip


def run(*arguments: str, code: int = 0) -> str:
    result = runner.invoke(app, ["run", "demo", *FEW, *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_run_is_recorded_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "routing.bin"
    assert "written: " in run("--record-routing", str(path))
    recorded = read_routing(path)
    assert f"experts of {len(recorded.table):,} tokens" in run("--record-routing", str(path))
    replay = ("--set", "model.numerics=digest", "--set", f"model.routing={{replay: {path}}}")
    assert "TPOT" in run(*replay)


def test_a_scenario_file_names_a_recorded_run_beside_itself(tmp_path: Path) -> None:
    run("--record-routing", str(tmp_path / "routing.bin"))
    scenario = tmp_path / "replay.yaml"
    scenario.write_text(
        "base: demo\nmodel: {numerics: digest, routing: {replay: routing.bin}}\n"
        "placement: {collections: null}\n"
        "workload:\n  arrivals: {closed: {num_requests: 2}}\n"
        "  prompts: {questions: {retrieval: null}}\n"
    )
    result = runner.invoke(app, ["run", str(scenario)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("world", ["process", "local"])
def test_live_worlds_record_nothing(world: str, tmp_path: Path) -> None:
    told = run("--world", world, "--record-routing", str(tmp_path / "routing.bin"), code=2)
    assert f"--record-routing: world is '{world}': use --world virtual" in " ".join(told.split())
    assert not (tmp_path / "routing.bin").exists()


def test_a_fold_of_counts_records_nothing(tmp_path: Path) -> None:
    path = tmp_path / "routing.bin"
    given = ("cluster.fold=on", "model.numerics=counts")
    sets = [part for one in given for part in ("--set", one)]
    result = runner.invoke(app, ["run", "deepseek-ep32", *sets, "--record-routing", str(path)])
    assert result.exit_code == 2
    assert "chips are folded, and model.numerics is 'counts'" in " ".join(result.output.split())
    assert not path.exists()


def test_a_dense_model_records_nothing(tmp_path: Path) -> None:
    given = ("cluster.nodes.experts=null", "model.path=llama-3.1-8b", "model.served_name=null")
    sets = [part for one in given for part in ("--set", one)]
    path = tmp_path / "routing.bin"
    result = runner.invoke(app, ["run", "deepseek-ep32", *sets, "--record-routing", str(path)])
    assert result.exit_code == 2
    assert "--record-routing: the model has no experts" in " ".join(result.output.split())
