"""Files that a scenario names: beside it, else in the working directory, whoever runs it where."""

from pathlib import Path

import pytest

from configs.schema import ScenarioError, load_scenario
from tests.configs.test_scenario import SMALL

TRACE = SMALL.replace(
    "closed: {concurrency: 1, num_requests: 1}", "trace: {path: data/t.jsonl}"
).replace("questions: {}", "trace: {}")


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """(the scenario's folder, the working directory), each with a folder for data."""
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        (folder / "data").mkdir(parents=True)
    monkeypatch.chdir(here)
    (beside / "s.yaml").write_text(TRACE)
    return beside, here


def path_of(scenario: str | Path, **changes: object) -> str:
    trace = load_scenario(scenario, changes).workload.arrivals.trace
    assert trace is not None
    return trace.path


def test_a_file_beside_the_scenario_comes_first(away) -> None:
    beside, here = away
    (here / "data/t.jsonl").touch()
    assert path_of(beside / "s.yaml") == str(here / "data/t.jsonl"), "the only one there is"
    (beside / "data/t.jsonl").touch()
    assert path_of(beside / "s.yaml") == str(beside / "data/t.jsonl")
    assert path_of("../beside/s.yaml") == str(here / "../beside/data/t.jsonl")


def test_one_that_is_nowhere_is_named_in_both_places(away) -> None:
    beside, here = away
    with pytest.raises(ScenarioError) as caught:
        load_scenario(beside / "s.yaml")
    (problem,) = caught.value.problems
    assert "workload.arrivals.trace.path: 'data/t.jsonl' is neither beside this file" in problem
    assert str(beside / "data/t.jsonl") in problem and str(here / "data/t.jsonl") in problem


def test_what_is_set_is_relative_to_the_working_directory(away) -> None:
    beside, _ = away
    (beside / "data/u.jsonl").touch()
    key = "workload.arrivals.trace.path"
    assert path_of(beside / "s.yaml", **{key: "data/u.jsonl"}) == "data/u.jsonl"


def test_a_base_s_file_is_beside_the_base(away) -> None:
    beside, _ = away
    (beside / "data/t.jsonl").touch()
    (beside / "inner").mkdir()
    (beside / "inner/child.yaml").write_text("base: ../s.yaml\nseed: 3\n")
    found = path_of(beside / "inner/child.yaml")
    assert Path(found).samefile(beside / "data/t.jsonl")


def test_models_collections_and_questions_too(away) -> None:
    beside, _ = away
    (beside / "notes").mkdir()
    (beside / "model").mkdir()
    (beside / "q.jsonl").touch()
    text = SMALL.replace("questions: {}", "questions: {path: q.jsonl}") + (
        "model: {path: model}\nplacement: {collections: {a: {path: notes}, "
        "b: {path: perfuse-tiny corpus}}}\n"
    )
    (beside / "m.yaml").write_text(text)
    scenario = load_scenario(beside / "m.yaml")
    placed = scenario.placement.collections
    assert scenario.model.path == str(beside / "model")
    assert (placed["a"].path, placed["b"].path) == (str(beside / "notes"), "perfuse-tiny corpus")
    questions = scenario.workload.prompts.questions
    assert questions is not None and questions.path == str(beside / "q.jsonl")


def test_special_and_whole_paths_stay(away) -> None:
    beside, _ = away
    for path in ("~/t.jsonl", "/nowhere/t.jsonl"):
        (beside / "s.yaml").write_text(TRACE.replace("data/t.jsonl", path))
        assert path_of(beside / "s.yaml") == path
    assert load_scenario("demo").model.path == "perfuse-tiny"
