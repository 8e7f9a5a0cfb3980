"""Whole clusters whose lines can have few reports on their way: what piles up travels merged."""

import pytest

from benchmarks.laws._sent import run_watched
from configs.schema import load_scenario
from tests.golden.scenarios import PLAIN, closed
from workers.wire import line


@pytest.mark.parametrize("faults", [[], [{"type": "drop", "toxicity": 0.05}]])
def test_answers_are_the_same_when_steps_leave_together(
    faults: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One report a round trip of 2 ms, while a step takes 50 us: 40 steps have piled up when the
    next one may leave. Each token comes once and in its place, with the end after the last.
    """
    lengths = {"input_length": {"fixed": 20}, "output_length": {"fixed": 40}}
    changes = {
        **PLAIN,
        **closed(6),
        "workload.prompts": {"synthetic": lengths},
        "faults": faults,
        "slo.deadline": "10 s",
    }
    expected, plain = run_watched(load_scenario("demo", changes))
    monkeypatch.setattr(line, "WINDOW_MAX", 1)
    far = {"cluster.nodes.router.link.latency": "1 ms"}
    done, merged = run_watched(load_scenario("demo", changes | far))
    assert [a.token_ids for a in done.answers] == [a.token_ids for a in expected.answers]
    assert [a.text for a in done.answers] == [a.text for a in expected.answers]
    assert [a.finish_reason for a in done.answers] == ["length"] * 6
    assert not any(done.held.values())
    assert merged.kinds["tokens"] < plain.kinds["tokens"] / 2
