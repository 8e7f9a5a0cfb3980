"""`perfuse run` of a recorded trace: what was passed over is said, the figures are the file's."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cluster.cli.main import app

ROWS = (
    '{"timestamp": 0, "input_length": 60, "output_length": 4, "hash_ids": [1], "colour": 1}\n'
    '{"timestamp": 1, "input_length": 0, "output_length": 4}\n'
    '{"timestamp": 2, "input_length": 70, "output_length": 0}\n'
    '{"timestamp": 3, "input_length": 60, "output_length": 2, "hash_ids": [1], "colour": 2}\n'
)
SCENARIO = """\
base: demo
placement: {collections: null}
workload:
  arrivals: {trace: {path: trace.jsonl}}
  prompts: {trace: {}}
"""


def test_a_trace_beside_its_scenario_runs_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    (tmp_path / "trace.jsonl").write_text(ROWS)
    out = tmp_path / "out.json"
    done = CliRunner().invoke(app, ["run", str(tmp_path / "s.yaml"), "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.count("'colour'") == 1 and "2 rows skipped" in done.output
    told = json.loads(out.read_text())
    assert (told["summary"]["num_requests"], told["summary"]["num_skipped"]) == (2, 2)
    assert [len(a["token_ids"]) for a in told["answers"]] == [4, 2]
    assert [a["submitted_ns"] for a in told["answers"]] == [0, 3_000_000]
    assert len(told["notes"]) == 2


def test_a_trace_that_is_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "s.yaml")])
    assert done.exit_code == 2
    assert "nor in the working directory" in done.output
