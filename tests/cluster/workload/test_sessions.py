"""Turns that wait for an answer: when they leave and what they ask, against a cluster that answers
every request after a millisecond.
"""

import gc
import pickle
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.workload import Workload, build_workload
from cluster.workload.driver import Answer, Driver
from configs.schema import load_scenario
from tests.cluster.workload.trace_files import MS, rows
from tests.workers.bench import Bench

VOCAB = 512


class Clusterlet:
    """Answers after 1 ms: token ids 500, 501, ... as many as were asked for, and a text."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.asked: list[Request] = []

    async def submit(self, request: Request) -> AsyncGenerator[Output, None]:
        self.asked.append(request)
        await self._clock.wait_until(self._clock.now() + MS)
        count = request.sampling.max_tokens
        ids = tuple(500 + i % 12 for i in range(count))
        text = f"answer {len(self.asked)}"
        yield Output(
            request.request_id, 0, ids, text, finish_reason="length", num_output_tokens=count
        )


def built(folder: Path, text: str, **changes: Any) -> Workload:
    path = folder / "trace"
    path.write_text(text, encoding="utf-8")
    given = {"workload.arrivals": {"trace": {"path": str(path)}}, "workload.prompts": {"trace": {}}}
    return build_workload(load_scenario("poisson", given | changes), VOCAB)


def driven(work: Workload) -> tuple[list[Answer], list[Request]]:
    async def job(bench: Bench) -> tuple[list[Answer], list[Request]]:
        node: Any = bench.nodes["gateway"]
        client: Any = Clusterlet(node.clock)
        return await Driver(node, client).run(work), client.asked

    return Bench("gateway").run(job)


def turn(**keys: Any) -> dict[str, Any]:
    return {"session_id": "a", "output_length": 20, **keys}


WHOLE = rows(
    turn(timestamp=0, input_length=60, hash_ids=[1]),
    turn(timestamp=0, input_length=110, hash_ids=[1], delay=500),
)


def test_the_second_turn_leaves_after_the_first_one_s_answer_with_its_history(tmp_path) -> None:
    """60 asked, 20 answered, and 30 of its own make 110; the answer is read at 1 ms."""
    work = built(tmp_path, WHOLE)
    answers, asked = driven(work)
    assert [a.submitted_ns for a in answers] == [0, 501 * MS]
    first, second = (request.prompt_ids for request in asked)
    assert (len(first), len(second)) == (60, 110)
    assert second[:80] == (*first, *answers[0].token_ids)
    assert second[80:] == work.requests[1].request.prompt_ids[80:]


@pytest.mark.parametrize(("speedup", "at_ms"), [(10, 51), (0.5, 1001)])
def test_delays_are_sped_up_as_gaps_are(tmp_path, speedup: float, at_ms: int) -> None:
    work = built(tmp_path, WHOLE, **{"workload.arrivals.trace.speedup": speedup})
    assert driven(work)[0][1].submitted_ns == at_ms * MS


def test_what_is_added_comes_after_all_that_was_said(tmp_path) -> None:
    """AIPerf's: 300 and 40 answered, then 150 more: 490; the third 490 + 20 + 10."""
    text = rows(
        turn(input_length=300, output_length=40),
        turn(input_length=150, delay=2),
        turn(input_length=10, delay=0),
    )
    answers, asked = driven(built(tmp_path, text))
    assert [len(request.prompt_ids) for request in asked] == [300, 490, 520]
    assert asked[2].prompt_ids[:490] == asked[1].prompt_ids
    assert asked[1].prompt_ids[300:340] == tuple(answers[0].token_ids)
    assert [a.submitted_ns for a in answers] == [0, 3 * MS, 4 * MS]
    cut = driven(built(tmp_path, text, **{"workload.prompts.trace.max_input": 400}))[1]
    assert [len(request.prompt_ids) for request in cut] == [300, 400, 400]


def test_a_turn_with_a_time_waits_for_it_and_for_the_answer(tmp_path) -> None:
    """The second's time is before the first one's answer, the third's after the second's."""
    text = rows(*(turn(timestamp=t, input_length=100 * (i + 1)) for i, t in enumerate((0, 0.5, 7))))
    assert [a.submitted_ns for a in driven(built(tmp_path, text))[0]] == [0, MS, 7 * MS]


def test_sessions_do_not_wait_for_each_other(tmp_path) -> None:
    text = rows(
        turn(timestamp=0, input_length=9),
        turn(input_length=50, delay=100),
        turn(timestamp=20, input_length=9, session_id="b"),
        turn(input_length=50, delay=10, session_id="b"),
    )
    work = built(tmp_path, text)
    answers, asked = driven(work)
    assert [request.request_id for request in asked] == [f"request-{i}" for i in (0, 1, 2, 3)]
    assert [a.submitted_ns for a in answers] == [0, 20 * MS, 31 * MS, 101 * MS]


CHAT = rows(
    {
        "conversations": [
            {"from": "human", "value": "one?"},
            {"from": "gpt", "value": "recorded"},
            {"from": "human", "value": "two?"},
        ]
    }
)


def test_a_conversation_goes_on_with_the_answer_that_was_given(tmp_path) -> None:
    answers, asked = driven(built(tmp_path, CHAT, **{"workload.sampling.max_tokens": 16}))
    assert [[m["content"] for m in request.messages] for request in asked] == [
        ["one?"], ["one?", "answer 1", "two?"],
    ]  # fmt: skip
    assert [m["role"] for m in asked[1].messages] == ["user", "assistant", "user"]
    # As long as the recorded one; where none is, as the sampling section says, to its end.
    assert asked[0].sampling.ignore_eos and 1 <= asked[0].sampling.max_tokens <= 8
    assert (asked[1].sampling.ignore_eos, asked[1].sampling.max_tokens) == (False, 16)
    assert len(answers) == 2


def test_conversations_come_as_other_arrivals_say(tmp_path) -> None:
    """Two users take the three conversations of two questions in turn, 1 ms each."""
    path = tmp_path / "chat"
    talk = [{"from": role, "value": role} for role in ("human", "gpt") * 2]
    path.write_text(rows(*[{"conversations": talk}] * 3))
    spec: dict[str, object] = {"workload.prompts": {"trace": {"path": str(path), "max_output": 2}}}
    closed: dict[str, object] = {
        "workload.arrivals": {"closed": {"concurrency": 2, "num_requests": 6}}
    }
    answers, _ = driven(build_workload(load_scenario("poisson", spec | closed), VOCAB))
    assert [a.submitted_ns for a in answers] == [0, MS, 0, MS, 2 * MS, 3 * MS]
    poisson: dict[str, object] = {
        "workload.arrivals": {"poisson": {"rate_per_s": 10, "num_requests": 6}}
    }
    times = [
        a.submitted_ns
        for a in driven(build_workload(load_scenario("poisson", spec | poisson), VOCAB))[0]
    ]
    assert 0 < times[0] < times[2] < times[4]
    assert [times[i + 1] - times[i] for i in (0, 2, 4)] == [MS] * 3


def test_a_workload_travels_to_another_process(tmp_path) -> None:
    work = built(tmp_path, CHAT, **{"workload.prompts.trace.max_input": 10})
    there = pickle.loads(pickle.dumps(work))
    assert there == work and there.requests[1] == work.requests[1]
    assert driven(there)[0] == driven(work)[0]


def test_long_conversations_are_cut_to_tokens(tmp_path) -> None:
    work = built(tmp_path, CHAT, **{"workload.prompts.trace.max_input": 10})
    asked = driven(work)[1]
    assert [len(request.prompt_ids) or request.messages for request in asked] == [10, 10]


def test_a_trace_without_times_begins_at_once_and_says_so(tmp_path) -> None:
    work = built(tmp_path, CHAT * 3)
    assert [timed.at_ns for timed in work.requests] == [0] * 6
    assert any("records no times" in note for note in work.notes)


def test_ids_of_another_model_fit_the_vocabulary(tmp_path) -> None:
    row = {
        "input_toks": 3,
        "output_toks": 2,
        "arrival_time_ns": 0,
        "input_tok_ids": [5, 512, 99999],
    }
    work = built(tmp_path, rows(row))
    assert work.requests[0].request.prompt_ids == (5, 0, 99999 % 512)
    assert any("token ids up to 99999" in note for note in work.notes)


def test_a_prompt_exists_from_its_arrival_to_its_end(tmp_path) -> None:
    """1,000 arrivals 2 ms apart, answered in 1: the one inside, and the next one."""
    text = rows(
        *({"timestamp": 2 * i, "input_length": 9, "output_length": 2} for i in range(1_000))
    )
    work = built(tmp_path, text)
    alive: list[int] = []
    others = {id(o) for o in gc.get_objects() if type(o) is Request}

    class Watching(Clusterlet):
        async def submit(self, request: Request) -> AsyncGenerator[Output, None]:
            if request.request_id.endswith("99"):
                gc.collect()
                requests = [o for o in gc.get_objects() if type(o) is Request]
                alive.append(len({id(o.prompt_ids) for o in requests if id(o) not in others}))
            await self._clock.wait_until(self._clock.now() + MS)
            yield Output(request.request_id, 0, (1,), finish_reason="length", num_output_tokens=1)

    async def job(bench: Bench) -> int:
        node: Any = bench.nodes["gateway"]
        client: Any = Watching(node.clock)
        return len(await Driver(node, client).run(work))

    assert Bench("gateway").run(job) == 1_000
    assert len(alive) == 10 and max(alive) <= 3
