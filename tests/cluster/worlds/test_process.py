"""Clusters that stand in this process on the wall clock: the server, and the demo."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import openai
import pytest

from cluster.gateway.settings import GatewaySettings
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.choice import live_world
from cluster.worlds.live import LiveWorld
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import prompt
from workers.chip.chip import Chip
from workers.experts.expert_shard import ExpertShard
from workers.model.native.chip_model import NativeChipModel
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

MODEL = "perfuse-tiny"


def drawn(changes: Mapping[str, object] | None = None, scenario: str = "server") -> Blueprint:
    return Blueprint.draw(load_scenario(scenario, changes))


def assert_lets_go(world: LiveWorld) -> None:
    for _ in range(300):
        held = world.ask_gateway("held")
        if not any(held.values()):
            return
    raise AssertionError(f"never let go: {held}")


@pytest.fixture(scope="module")
def world() -> Iterator[ProcessWorld]:
    with process_world(drawn({"model.max_num_batched_tokens": 64})) as started:
        yield started
        assert_lets_go(started)
        assert not any(started.ask_all("failures").values())


@pytest.fixture(scope="module")
def url(world: ProcessWorld) -> str:
    served: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
    return served


@pytest.fixture(scope="module")
def reference(world: ProcessWorld) -> Reference:
    return Reference(world.blueprint.folder)


async def streamed(url: str, sizes: list[tuple[int, int]], **options: Any) -> list[str]:
    """Texts of answers to prompts of (length, max_tokens), all at once."""

    async def one(client: openai.AsyncOpenAI, number: int, length: int, max_tokens: int) -> str:
        stream = await client.completions.create(
            model=MODEL,
            prompt=list(prompt(number, length)),
            max_tokens=max_tokens,
            stream=True,
            extra_body={"ignore_eos": True},
            **options,
        )
        return "".join([chunk.choices[0].text async for chunk in stream])

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        return await asyncio.gather(*(one(client, i, *size) for i, size in enumerate(sizes)))


def texts(world: ProcessWorld, reference: Reference, sizes: list[tuple[int, int]]) -> list[str]:
    from cluster.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(world.blueprint.folder)
    results = [
        reference.generate(prompt(i, length), SamplingParams(max_tokens=count, ignore_eos=True))
        for i, (length, count) in enumerate(sizes)
    ]
    return [tokenizer.decode(result.token_ids) for result in results]


def test_answers_under_mixed_batches_are_the_reference_s(
    world: ProcessWorld, url: str, reference: Reference
) -> None:
    """Twelve streams of different lengths, prompts in chunks of at most 64 tokens."""
    sizes = [(10 + 17 * i, 8 + 5 * (i % 4)) for i in range(12)]
    assert asyncio.run(streamed(url, sizes)) == texts(world, reference, sizes)
    assert_lets_go(world)


def test_a_sampled_answer_depends_on_its_seed_alone(
    world: ProcessWorld, url: str, reference: Reference
) -> None:
    """Whoever shares its steps: by itself, and among eight others."""
    options: dict[str, Any] = {"temperature": 1.5, "seed": 7}
    alone = asyncio.run(streamed(url, [(30, 16)], **options))
    among = asyncio.run(streamed(url, [(30, 16)] + [(20 + i, 16) for i in range(8)], **options))
    other = asyncio.run(streamed(url, [(30, 16)], **{**options, "seed": 8}))
    assert alone == among[:1] != other


def test_a_client_that_goes_leaves_nothing_behind(world: ProcessWorld, url: str) -> None:
    body = {"model": MODEL, "prompt": "For the", "max_tokens": 900, "ignore_eos": True, "n": 6}
    with httpx.stream(
        "POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=30
    ) as stream:
        next(stream.iter_lines())
    assert_lets_go(world)
    activity = world.ask_gateway("activity")
    assert activity["calls"] == 0


def test_what_is_wrong_is_refused(world: ProcessWorld, url: str) -> None:
    body = {"model": MODEL, "prompt": list(prompt(0, 900)), "max_tokens": 200}
    assert httpx.post(f"{url}/v1/completions", json=body).status_code == 400
    assert httpx.post(f"{url}/v1/completions", json={**body, "model": "x"}).status_code == 404
    assert_lets_go(world)


def test_the_chip_holds_the_experts_and_no_shard_stands(world: ProcessWorld) -> None:
    workers = {type(getattr(h, "__self__", None)) for h in handlers(world)}
    assert Chip in workers and ExpertShard not in workers
    assert "dispatch" not in {kind for _, kind in kinds(world)}


def kinds(world: ProcessWorld) -> list[tuple[str, str]]:
    return [key for seat in world.seats.values() for key in seat.node.endpoint.incoming.handlers()]


def handlers(world: ProcessWorld) -> list[Any]:
    return [
        h for seat in world.seats.values() for h in seat.node.endpoint.incoming.handlers().values()
    ]


def test_a_whole_step_gives_the_tokens_of_layer_by_layer() -> None:
    """The same workload through messages a layer (a second chip keeps the experts apart)."""
    load: dict[str, object] = {"workload.arrivals.closed.num_requests": 8}
    apart = {"workers": ["chip"], "device": "host-cpu", "link": "ideal-1us"}
    plans = [drawn(load), drawn({**load, "cluster.nodes.second": apart})]
    workload = build_workload(plans[0].scenario, plans[0].model.vocab)
    tokens = []
    for plan in plans:
        with live_world(plan) as world:
            assert isinstance(world, ProcessWorld)
            assert (("experts-0", "dispatch") in kinds(world)) == (plan is plans[1])
            tokens.append([answer.token_ids for answer in world.run(workload, lambda _: None)])
            assert_lets_go(world)
    assert tokens[0] == tokens[1] and all(tokens[0])


def test_emulation_paces_it_as_it_paces_other_worlds() -> None:
    """The demo's machines in one process: the virtual world's tokens, and no shorter times."""
    changes: dict[str, object] = {
        "workload.arrivals.closed.num_requests": 4,
        "workload.arrivals.closed.concurrency": 1,
        "placement.collections": None,
        "workload.prompts.questions.retrieval": None,
        "cluster.dilation": 1000,
    }
    live = drawn({**changes, "cluster.world": "process"}, "demo")
    virtual = drawn(changes, "demo")
    workload = build_workload(live.scenario, live.model.vocab)
    exact = run_in_virtual(virtual, workload, lambda _: None).answers
    with process_world(live) as world:
        answers = world.run(workload, lambda _: None)
        assert_lets_go(world)
        assert not any(world.ask_all("failures").values())
    assert [a.token_ids for a in answers] == [a.token_ids for a in exact]
    for one, same in zip(answers, exact, strict=True):
        assert one.e2e_ns >= 0.99 * same.e2e_ns


def test_a_node_that_dies_ends_its_requests_with_a_clear_error() -> None:
    chip = {"workers": ["chip", "experts"], "device": "host-cpu", "link": "ideal-1us"}
    host = {"workers": ["router", "gateway"], "device": "host-cpu", "link": "ideal-1us"}
    with process_world(
        drawn({"cluster.nodes.host": None, "cluster.nodes.front": host, "cluster.nodes.c": chip})
    ) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        body = {"model": MODEL, "prompt": "x", "max_tokens": 900, "ignore_eos": True}
        with httpx.stream(
            "POST", f"{url}/v1/completions", json={**body, "stream": True}, timeout=30
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            world.kill("c-0")
            told = [json.loads(x[6:]) for x in lines if x.startswith("data: {")]
        assert "c-0" in next(t for t in told if "error" in t)["error"]["message"]
        assert httpx.post(f"{url}/v1/completions", json=body, timeout=30).status_code == 503


def test_an_error_nobody_expected_ends_its_step_s_requests_and_not_the_chip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = {"model": MODEL, "prompt": "For the", "max_tokens": 8, "ignore_eos": True}
    with process_world(drawn()) as world:
        url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())
        with monkeypatch.context() as broken:
            broken.setattr(NativeChipModel, "embed", lambda *_: 1 // 0)
            told = httpx.post(f"{url}/v1/completions", json=body, timeout=20)
        assert told.status_code == 500
        [failure] = [one for some in world.ask_all("failures").values() for one in some]
        assert "chip-0 step: ZeroDivisionError" in failure
        assert httpx.post(f"{url}/v1/completions", json=body, timeout=20).status_code == 200
        assert_lets_go(world)


def test_a_server_s_answers_may_take_long() -> None:
    """A queue of long answers on two cores is more than the two minutes of other scenarios."""
    assert drawn().deadline_ns == 3600 * 10**9


def test_the_virtual_world_is_not_live() -> None:
    with pytest.raises(ValueError, match="'process', 'local' or 'ray'"):
        live_world(drawn(scenario="demo"))
