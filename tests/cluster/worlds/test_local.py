"""The default cluster as real processes, behind its HTTP endpoint, with the official client.

One cluster serves all tests of this file: starting it is what takes time. Emulation is off, so it
is as fast as this machine; what is paced in emulated time is the bench's affair (`make
bench-worlds`).
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import openai
import psutil
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.text.tokenizer import Tokenizer
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from cluster.worlds.session_processes import processes_of_session, ray_processes
from configs.perfuse_tiny import load_questions
from configs.schema import load_scenario
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

MODEL = "perfuse-tiny"
REAL = {"cluster.world": "local", "cluster.emulation": False, "cluster.dilation": 1}


def assert_lets_go(world: LocalWorld) -> None:
    """All that is held returns to zero: at the latest when what a request left running (storing its
    blocks in the pool, an abort) is done. Each question takes a round trip, so this is bounded.
    """
    for _ in range(300):
        held = world.ask_gateway("held")
        if not any(held.values()):
            return
    raise AssertionError(f"never let go: {held}")


@pytest.fixture(scope="module")
def world() -> Iterator[LocalWorld]:
    changes = {
        **REAL,
        "slo.admission.max_queue": 8,
        "workload.arrivals.closed.num_requests": 24,
        "workload.sampling.logprobs": 1,
    }
    with local_world(Blueprint.draw(load_scenario("demo", changes))) as started:
        yield started
        assert_lets_go(started)
        assert not any(started.ask_all("failures").values())


@pytest.fixture(scope="module")
def url(world: LocalWorld) -> str:
    served: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
    return served


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def reference() -> Reference:
    blueprint = Blueprint.draw(load_scenario("demo", REAL))
    return Reference(blueprint.folder)


def ask(client: openai.OpenAI, question: str, **options: Any) -> Any:
    extra = {"retrieval": {"store": "cards", "top_k": 3}}
    return client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        max_tokens=24,
        extra_body=extra,
        **options,
    )


def test_nobody_outside_this_machine_is_listened_to(world: LocalWorld, url: str) -> None:
    """Of Ray's servers, its agents and workers, the nodes, the driver and the gateway's HTTP: none
    at another address, whatever addresses the machine has.
    """
    found = processes_of_session(world.folder, ray_processes()) | {os.getpid(): psutil.Process()}
    places: dict[str, set[tuple[str, int]]] = {}
    for process in found.values():
        with suppress(psutil.NoSuchProcess):
            name = (process.cmdline() or [""])[0]
            for socket in process.net_connections(kind="inet"):
                if not socket.raddr:  # it listens, or whoever writes is heard
                    place = socket.laddr.ip.removeprefix("::ffff:"), socket.laddr.port
                    places.setdefault(name, set()).add(place)
    for one in ("gcs_server", "raylet", "ray::RuntimeEnvAgent", "ray::"):
        assert any(one in name for name in places), places
    everywhere = set().union(*places.values())
    assert ("127.0.0.1", httpx.URL(url).port) in everywhere, places
    assert {address for address, _ in everywhere} <= {"127.0.0.1", "::1"}, places


def test_an_answer_is_the_reference_model_s(
    world: LocalWorld, client: openai.OpenAI, reference: Reference
) -> None:
    """Through retrieval, prefill, hand-over, experts and decode, against one process without any
    of them.
    """
    tokenizer = Tokenizer.load(world.blueprint.folder)
    for question in load_questions()[:5]:
        answer = ask(client, question.question)
        passages = answer.model_extra["retrieval"]["passages"]
        assert len(passages) == 3
        messages = [
            {"role": "system", "content": "\n".join(passages)},
            {"role": "user", "content": question.question},
        ]
        ids = tokenizer.encode(tokenizer.render_chat(messages))
        expected = reference.generate(ids, SamplingParams(max_tokens=24))
        assert answer.choices[0].message.content == tokenizer.decode(expected.token_ids)
        assert answer.usage.prompt_tokens == len(ids)
        assert answer.usage.completion_tokens == len(expected.token_ids)


def test_a_stream_joins_to_the_whole_answer(client: openai.OpenAI) -> None:
    question = load_questions()[7].question
    whole = ask(client, question).choices[0].message.content
    chunks = list(ask(client, question, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-1].usage.completion_tokens > 1


def test_a_repeated_prompt_is_found_in_the_cache(client: openai.OpenAI) -> None:
    question = load_questions()[9].question
    first, second = ask(client, question), ask(client, question)
    assert second.choices[0].message.content == first.choices[0].message.content
    assert second.usage.prompt_tokens_details.cached_tokens >= 16


def test_sampling_with_a_seed_repeats_itself(client: openai.OpenAI) -> None:
    def sample(seed: int) -> list[str]:
        answer = client.completions.create(
            model=MODEL, prompt="For the", temperature=2, seed=seed, n=3, max_tokens=12
        )
        return [choice.text for choice in answer.choices]

    assert sample(3) == sample(3)
    assert sample(3) != sample(4)


def test_a_stop_string_ends_the_answer(client: openai.OpenAI) -> None:
    question = next(q for q in load_questions() if " " in q.answer and q.card is not None)
    whole = ask(client, question.question).choices[0].message.content
    cut = ask(client, question.question, stop=[whole[-3:]]).choices[0]
    assert cut.message.content == whole[: whole.find(whole[-3:])]
    assert cut.finish_reason == "stop"


def test_a_store_is_filled_searched_used_and_deleted(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="mine")
    text = "The bandwidth of Quorlax-3 is 4711 GB/s.\nThe colour of Quorlax-3 is red.\n"
    file = client.files.create(file=("mine.txt", text.encode()), purpose="assistants")
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    found = client.vector_stores.search(vector_store_id=store.id, query="bandwidth of Quorlax-3")
    assert found.data[0].content[0].text == "The bandwidth of Quorlax-3 is 4711 GB/s."
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the bandwidth of Quorlax-3?"}],
        max_tokens=24,
        extra_body={"retrieval": {"store": store.id}},
    )
    assert (answer.model_extra or {})["retrieval"]["passages"][0].startswith(
        "The bandwidth of Quorlax-3"
    )
    client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search(vector_store_id=store.id, query="x")


BAD = [
    ({"model": "other"}, 404, "model"),
    ({"messages": [{"role": "user", "content": "word " * 2000}]}, 400, "messages"),
    ({"temperature": 9}, 400, "temperature"),
    ({"retrieval": {"store": "nowhere"}}, 404, "store"),
    ({"max_tokens": 0}, 400, "max_tokens"),
]


@pytest.mark.parametrize(("change", "status", "param"), BAD, ids=[str(b[2]) for b in BAD])
def test_bad_input_is_refused_and_leaves_no_trace(
    world: LocalWorld, url: str, change: dict[str, object], status: int, param: str
) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **change}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert_lets_go(world)


def test_a_full_queue_refuses_with_retry_after(world: LocalWorld, url: str) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "n": 8,
        "max_tokens": 4,
        "ignore_eos": True,
    }
    with ThreadPoolExecutor(4) as pool:
        begun = [
            pool.submit(httpx.post, f"{url}/v1/chat/completions", json=body, timeout=120)
            for _ in range(4)
        ]
        answers = [one.result() for one in begun]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        assert answer.status_code == 429, answer.text
        assert int(answer.headers["retry-after"]) >= 1


def test_metrics_speak_vllm(client: openai.OpenAI, url: str) -> None:
    ask(client, load_questions()[3].question)
    text = httpx.get(f"{url}/metrics").text
    assert 'vllm:generation_tokens_total{engine="0",model_name="perfuse-tiny"}' in text
    assert httpx.get(f"{url}/health").status_code == 200


def test_the_workload_enters_where_http_does(world: LocalWorld) -> None:
    """`perfuse run` in the local world, and the same answers as the virtual world's."""
    from cluster.runs.run import run_in_virtual

    workload = build_workload(world.blueprint.scenario, world.blueprint.model.vocab)
    live = world.ask_gateway("run", workload, timeout_s=120)
    changes = {"workload.arrivals.closed.num_requests": 24, "workload.sampling.logprobs": 1}
    virtual = Blueprint.draw(load_scenario("demo", changes))
    exact = run_in_virtual(virtual, workload, lambda _: None).answers
    assert [a.token_ids for a in live] == [a.token_ids for a in exact]
    assert [a.text for a in live] == [a.text for a in exact]
