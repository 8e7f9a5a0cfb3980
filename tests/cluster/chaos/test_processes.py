"""What processes of a search tell each other."""

import json
from pathlib import Path

import pytest

from cluster.chaos.processes import ProcessLost, answer, processes, read_seen, write_seen
from cluster.chaos.trial import Seen


def test_what_was_seen_crosses_a_pipe() -> None:
    seen = Seen("3", ["once: x"], "ab", 5, 2, 1, 70, 3, features={"b", "a"},
                cells={("drop", "in flight"): 4})  # fmt: skip
    assert read_seen(json.loads(json.dumps(write_seen(seen)))) == seen


def test_each_line_of_names_is_answered(tmp_path: Path) -> None:
    (line,) = answer("digest", str(tmp_path), ['["1", "1.2"]'])
    assert [read_seen(body).name for body in json.loads(line)] == ["1", "1.2"]


def test_two_processes_see_what_one_sees() -> None:
    parts = [["1"], ["2"]]
    with processes("digest", 2) as run:
        both = list(run(parts))
    with processes("digest", 1) as run:
        assert [[one.trace_hash for one in part] for part in both] == [
            [one.trace_hash for one in part] for part in run(parts)
        ]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_one_that_ends_is_told() -> None:
    with processes("digest", 2) as run, pytest.raises(ProcessLost, match="the trials \\['x'\\]"):
        list(run([["x"]]))
