"""Questions and sizes of a workload that nobody could run: one line each, at once."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.workload.build import build_workload
from cluster.workload.prompts import QuestionsError, question_prompts
from configs.schema import ScenarioError, load_scenario


@pytest.mark.timeout(20)
def test_a_questions_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(QuestionsError, match=path.name):
            question_prompts(path, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 900 + "]" * 900, ":1: is nested too deep"),
        ('{"question": 1e400}', ":1: 'question' is 1e400"),
        ('{"question": "a", "question": "b"}', ":1: names 'question' twice"),
        ('{"question": ' + "[" * 60 + "]" * 60 + "}", ":1: question is "),
        ("\xff", ":1: is not JSON"),
    ],
)
def test_hostile_questions_are_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(QuestionsError, match=told) as caught:
        question_prompts(path, 1)
    assert len(str(caught.value)) < 400


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=100) | st.text('{}[]":,questionanswer\\u01 \n').map(str.encode))
def test_any_bytes_are_questions_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(data)
    with suppress(QuestionsError):
        question_prompts(path, 3)


CLOSED = "workload.arrivals.closed."
SYNTHETIC = "workload.prompts.synthetic"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({f"{CLOSED}num_requests": 10**12}, "num_requests: is 1000000000000"),
        ({f"{CLOSED}concurrency": 10**12}, "concurrency: is 1000000000000"),
        ({"cluster.nodes.decode.count": 10**12}, "count: is 1000000000000"),
        ({"cluster.dilation": 1e300}, "dilation: is 1e[+]300"),
        ({"model.num_kv_blocks": 10**12}, "num_kv_blocks: is 1000000000000"),
        ({"workload.sampling.top_k": 10**12}, "top_k: is 1000000000000"),
    ],
)
def test_sizes_that_no_run_has_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load_scenario("demo", changes)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                f"{CLOSED}num_requests": 400,
                SYNTHETIC: {
                    "input_length": {"fixed": 100_000},
                    "output_length": {"fixed": 1},
                    "turns": 200,
                },
            },
            "longest session has up to 20,000,200 tokens: at most 16,777,216",
        ),
        (
            {"workload.arrivals": {"poisson": {"rate_per_s": 1e-6, "num_requests": 100_000}}},
            "raise rate_per_s",
        ),
    ],
)
def test_what_is_too_much_is_said_before_it_is_drawn(changes: dict[str, object], told: str) -> None:
    """200 turns of 100,001 tokens each, the last of which repeats all.

    10^5 requests at 1e-6 a second, 10^11 s: the clock's 64 bits
    end after 9.2 x 10^9 s.
    """
    with pytest.raises(ValueError, match=told):
        build_workload(load_scenario("demo", changes), 512)


@pytest.mark.timeout(20)
def test_prompts_are_made_when_they_are_asked_for() -> None:
    """A million prompts of 101 tokens, which would take 4 GB together: the last one at once."""
    spec = {"input_length": {"fixed": 101}, "output_length": {"fixed": 1}}
    changes: dict[str, object] = {f"{CLOSED}num_requests": 1_000_000, SYNTHETIC: spec}
    requests = build_workload(load_scenario("demo", changes), 512).requests
    assert len(requests) == 1_000_000 and len(requests[-1].request.prompt_ids) == 101
    assert requests[-1] == requests[999_999] != requests[0]
