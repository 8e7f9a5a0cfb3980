"""Whole workloads: right requests, prefixes that are shared, and nothing left to chance."""

import json
from itertools import pairwise
from typing import Any

import pytest

from cluster.api.request import Request
from cluster.workload import QuestionsError, Workload, build_workload
from configs.schema import load_scenario

VOCAB = 512


def build(overrides=None, scenario="poisson") -> Workload:
    return build_workload(load_scenario(scenario, overrides), VOCAB)


def common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the longest common prefix."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


@pytest.mark.parametrize("scenario", ["demo", "single", "poisson"])
def test_the_same_scenario_gives_the_same_requests(scenario: str) -> None:
    assert build(scenario=scenario) == build(scenario=scenario)
    assert build({"seed": 1}, scenario) != build({"seed": 2}, scenario)


@pytest.mark.parametrize("scenario", ["demo", "single", "poisson"])
def test_every_request_is_valid_and_unique(scenario: str) -> None:
    requests = [timed.request for timed in build(scenario=scenario).requests]
    assert len({request.request_id for request in requests}) == len(requests)
    for request in requests:
        request.sampling.validate()
        assert bool(request.messages) != bool(request.prompt_ids)
        assert Request.from_body(json.loads(json.dumps(request.to_body()))) == request
        assert all(0 <= token < VOCAB for token in request.prompt_ids)


def test_the_demo_asks_questions_with_retrieval() -> None:
    workload = build(scenario="demo")
    assert workload.concurrency == 8
    assert len(workload.requests) == 100
    first = workload.requests[0]
    assert first.expected_answer
    assert first.request.messages[0]["role"] == "user"
    assert first.request.retrieval is not None
    assert (first.request.retrieval.store, first.request.retrieval.top_k) == ("cards", 3)
    assert first.request.sampling.max_tokens == 24
    assert first.request.sampling.temperature == 0
    assert not first.request.sampling.ignore_eos


def test_questions_start_again_when_they_run_out(tmp_path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "a", "answer": "1"}\n\n{"question": "b"}\n', encoding="utf-8")
    overrides = {
        "workload.prompts.questions.path": str(path),
        "workload.arrivals.closed.num_requests": 5,
    }
    found = build(overrides, "demo").requests
    assert [timed.request.messages[0]["content"] for timed in found] == ["a", "b", "a", "b", "a"]
    assert [timed.expected_answer for timed in found] == ["1", None, "1", None, "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no question"),
        ("{", ":1: is not JSON"),
        ('{"question": "a"}\n[]', ":2: is"),
        ('{"question": ""}', ":1: question is ''"),
        ('{"question": "a", "answer": 3}', ":1: answer is 3"),
    ],
)
def test_question_errors_name_file_and_line(tmp_path, text: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(QuestionsError, match=message):
        build({"workload.prompts.questions.path": str(path)}, "demo")


def test_turns_repeat_their_session_and_groups_their_prefix() -> None:
    by_session: dict[str, list] = {}
    for timed in build().requests:
        by_session.setdefault(timed.session, []).append(timed)
    assert len(by_session) == 67
    prefixes = set()
    for turns in by_session.values():
        assert [timed.turn for timed in turns] == list(range(len(turns)))
        for before, after in pairwise(turns):
            shared = before.request.prompt_ids
            assert after.request.prompt_ids[: len(shared)] == shared
            assert after.at_ns > before.at_ns
            # The stand-in answer is as long as the answer that was asked for.
            assert len(after.request.prompt_ids) > len(shared) + before.request.sampling.max_tokens
        prefixes.add(turns[0].request.prompt_ids[:128])
    assert len(prefixes) == 4


def test_synthetic_answers_have_exactly_their_length() -> None:
    for timed in build().requests:
        assert 8 <= timed.request.sampling.max_tokens <= 32
        assert timed.request.sampling.ignore_eos


def test_changing_arrivals_leaves_prompts_as_they_were() -> None:
    slow = build({"workload.arrivals.poisson.rate_per_s": 1})
    fast = build()
    assert [t.request for t in slow.requests] == [t.request for t in fast.requests]
    assert slow.requests[-1].at_ns > fast.requests[-1].at_ns


def mooncake(tmp_path, lines: list[dict[str, Any]]) -> dict[str, Any]:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return {
        "workload.arrivals": {"trace": {"format": "mooncake", "path": str(path)}},
        "workload.prompts": {"trace": {"max_output": 20}},
    }


def test_equal_hash_ids_are_equal_tokens(tmp_path) -> None:
    def line(at: int, length: int, ids: list[int]) -> dict[str, Any]:
        return {"timestamp": at, "input_length": length, "output_length": 30, "hash_ids": ids}

    overrides = mooncake(
        tmp_path, [line(0, 1500, [0, 1, 2]), line(5, 1500, [0, 1, 9]), line(5, 700, [0, 7])]
    )
    workload = build(overrides)
    assert workload.concurrency is None
    assert [timed.at_ns for timed in workload.requests] == [0, 5_000_000, 5_000_000]
    a, b, c = (timed.request.prompt_ids for timed in workload.requests)
    assert (len(a), len(b), len(c)) == (1500, 1500, 700)
    assert a[:1024] == b[:1024]
    assert common(a, b) < 1024 + 10
    assert a[:512] == c[:512]
    assert common(a, c) < 512 + 10
    assert {timed.request.sampling.max_tokens for timed in workload.requests} == {20}
    cut = build({**overrides, "workload.prompts.trace.max_input": 600})
    assert [len(timed.request.prompt_ids) for timed in cut.requests] == [600, 600, 600]
    assert cut.requests[0].request.prompt_ids == a[:600]


def test_azure_prompts_share_nothing(tmp_path) -> None:
    path = tmp_path / "trace.csv"
    rows = "2023-11-16 18:17:03.1,400,2\r\n" * 2
    path.write_bytes(b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + rows.encode())
    overrides = {
        "workload.arrivals": {"trace": {"format": "azure", "path": str(path)}},
        "workload.prompts": {"trace": {}},
    }
    a, b = (timed.request.prompt_ids for timed in build(overrides).requests)
    assert len(a) == len(b) == 400
    assert common(a, b) < 10


def test_a_trace_may_give_the_times_and_questions_the_prompts(tmp_path) -> None:
    lines = [
        {"timestamp": t, "input_length": 1, "output_length": 1, "hash_ids": [0]} for t in (0, 40)
    ]
    overrides = mooncake(tmp_path, lines) | {"workload.prompts": {"questions": {}}}
    found = build(overrides).requests
    assert [timed.at_ns for timed in found] == [0, 40_000_000]
    assert all(timed.request.messages for timed in found)


def test_sampling_is_the_scenarios_with_a_seed_for_each_request() -> None:
    sampled = [timed.request.sampling for timed in build().requests]
    assert {(s.temperature, s.top_p) for s in sampled} == {(0.8, 0.95)}
    assert len({s.seed for s in sampled}) == len(sampled)
    fixed = build({"workload.sampling.seed": 5, "workload.sampling.stop": ["x"]})
    assert {t.request.sampling.seed for t in fixed.requests} == {5}
    assert {t.request.sampling.stop for t in fixed.requests} == {("x",)}
