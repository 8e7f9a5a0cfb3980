"""Structured output over HTTP, on the wall clock."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import jsonschema
import openai
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.text.vocabulary import open_grammars
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import prompt
from tests.cluster.worlds.test_shaping import JSON, SCHEMA
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams
from workers.model.shaping import Shaping

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
# Half a second of compiling.
SLOW = {"type": "object", "properties": {f"k{i}": {"type": "integer"} for i in range(2000)}}


# Processor time of one callback on the loop of all nodes, however busy the machine is.
BAR_MS = 50


@pytest.fixture(scope="module")
def world() -> Iterator[ProcessWorld]:
    with process_world(Blueprint.draw(load_scenario("server"))) as started:
        yield started
        assert not any(started.ask_all("failures").values())


@pytest.fixture(scope="module")
def url(world: ProcessWorld) -> str:
    return str(world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings()))


def test_a_stream_is_the_reference_s_answer_and_valid(url: str) -> None:
    folder = Blueprint.draw(load_scenario("server")).folder
    reference = Reference(folder, grammars=open_grammars(folder))
    params = SamplingParams(max_tokens=90, shaping=Shaping(JSON, (), 0.5, 0.25))
    wanted = reference.generate(prompt(1), params)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    stream = client.completions.create(
        model="perfuse-tiny",
        prompt=list(prompt(1)),
        max_tokens=90,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"response_format": FORMAT},
    )
    chunks = list(stream)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == len(wanted.token_ids)
    reasons = [
        c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason
    ]
    assert reasons == [wanted.finish_reason] == ["stop"]
    jsonschema.validate(json.loads("".join(c.choices[0].text for c in chunks if c.choices)), SCHEMA)


def test_an_answer_that_is_cut_is_the_beginning_of_one(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    answers = [
        client.chat.completions.create(
            model="perfuse-tiny",
            messages=[{"role": "user", "content": "x"}],
            max_tokens=count,
            extra_body={"response_format": FORMAT},
        ).choices[0]
        for count in (5, 90)
    ]
    assert [one.finish_reason for one in answers] == ["length", "stop"]
    cut, whole = (one.message.content or "" for one in answers)
    assert whole.startswith(cut)


def test_health_answers_while_a_constraint_is_compiled(world: ProcessWorld, url: str) -> None:
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=url, timeout=60) as client:
        body = {"model": "perfuse-tiny", "prompt": "x", "max_tokens": 1, "guided_json": SLOW}
        world.ask_gateway("watch")
        asked = pool.submit(httpx.post, f"{url}/v1/completions", json=body, timeout=60)
        num_healthy = 0
        while not asked.done():
            assert client.get("/health").status_code == 200
            num_healthy += 1
        assert asked.result().status_code == 200
        took_ns, what = world.ask_gateway("longest_callbacks")[0]
    assert num_healthy > 3, "each takes milliseconds, compiling half a second"
    assert took_ns < BAR_MS * 1e6, f"{what} held the loop for {took_ns / 1e6:.0f} ms"
