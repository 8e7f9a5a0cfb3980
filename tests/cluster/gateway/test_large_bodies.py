"""What fills the gateway's limits is read beside its loop, and refused before it travels."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from cluster.worlds.watchdog import Watchdog
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, World, forever, say, world

TEXT = "word " * 800_000


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """A live host has it looked for on a thread (`workers/host/garbage.py`)."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


BIAS = dict.fromkeys(map(str, range(300_000)), 1)
MESSAGE = {"role": "user", "content": "x"}
PROPERTIES = {f"p{i}": {"type": "string"} for i in range(150_000)}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": PROPERTIES}}}
ARGUMENTS = orjson.dumps({f"k{i}": {"a": i} for i in range(120_000)}).decode()
CALLS = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ARGUMENTS}}]}
LARGE: dict[str, tuple[str, dict[str, Any], int]] = {
    "prompt": ("completions", {"prompt": TEXT, "n": 64}, 400),
    "ids": ("completions", {"prompt": [7] * 2_000_000, "n": 64}, 400),
    "prompts": ("completions", {"prompt": ["x"] * 500_000}, 400),
    "stop": ("completions", {"prompt": "x", "stop": ["s%d"] * 500_000}, 400),
    "long stop": ("completions", {"prompt": "x", "stop": ["s" * 1_000_000] * 4}, 400),
    "stop ids": ("completions", {"prompt": "x", "stop_token_ids": [1] * 1_000_000}, 400),
    "bias": ("completions", {"prompt": "x", "logit_bias": BIAS}, 400),
    "objects": ("completions", {"prompt": "x", "user": [{}] * 1_000_000}, 400),
    "lists": ("completions", {"prompt": "x", "metadata": [[]] * 1_300_000}, 400),
    "keys": ("completions", {"prompt": "x", "metadata": BIAS}, 400),
    "signs in a text": ("completions", {"prompt": "x", "user": '[{":' * 700_000}, 200),
    "numbers": ("completions", {"prompt": "x", "user": [1] * 1_900_000}, 200),
    "messages": ("chat/completions", {"messages": [MESSAGE] * 90_000}, 400),
    "values of tools": ("chat/completions", {"messages": [MESSAGE], "tools": [TOOL]}, 400),
    "values of calls": ("chat/completions", {"messages": [MESSAGE, CALLS]}, 400),
    "parts": (
        "chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * 90_000}]},
        400,
    ),
}  # fmt: skip


class Limits(FakeRouter):
    """A model whose tokens have 13 characters at most."""

    async def models(self):
        return [{"id": MODEL, "max_model_len": 512, "max_token_chars": 13}]


def watched(job: Callable[[World], Any], router: FakeRouter) -> float:
    """Processor milliseconds of the gateway's longest callback. Bodies are made before."""

    async def run() -> float:
        async with world(router) as made:
            dog = Watchdog()
            dog.start()
            try:
                await job(made)
            finally:
                longest = dog.stop()
        return longest[0][0] / 1e6

    return asyncio.run(run())


@pytest.mark.parametrize("name", LARGE)
def test_no_body_holds_the_loop_for_50_ms(name: str) -> None:
    """4 MB at most, the gateway's limit; what cannot fit 512 tokens never reaches the router.
    Client and gateway share the loop here, so the bar is for both.
    """
    route, body, status = LARGE[name]
    raw = orjson.dumps({"model": MODEL, **body})[: 4 << 20]
    assert len(raw) < 4 << 20
    router = Limits()

    async def job(made: World) -> None:
        head = {"content-type": "application/json"}
        answer = await made.http.post(f"/v1/{route}", content=raw, headers=head)
        assert answer.status_code == status, answer.text
        assert len(answer.content) < 1000
        assert bool(router.requests) == (status == 200)

    assert watched(job, router) < 50


def test_a_form_of_8_mb_is_read_beside_the_loop() -> None:
    """Of what looks like boundaries, a byte at a time."""
    data = b"\r\n--" * (2 << 20)

    async def job(made: World) -> None:
        purpose, file = {"purpose": "assistants"}, {"file": ("f.txt", data[: 8 << 20])}
        request = made.http.build_request("POST", "/v1/files", data=purpose, files=file)
        raw = await request.aread()
        answer = await made.http.post("/v1/files", content=raw, headers=request.headers)
        assert answer.status_code == 200, answer.text

    assert watched(job, FakeRouter()) < 50


def test_an_answer_of_64_choices_with_logprobs_is_written_beside_the_loop() -> None:
    """64 x 100 tokens with 20 alternatives: 134,400 objects, some 400 ms."""
    from dataclasses import replace

    from cluster.api.output import TokenLogprob

    told = TokenLogprob(1, b"x", -0.5, tuple((i, b"x", -0.5) for i in range(20)))

    def script(request: Any) -> Any:
        outputs: Any = say(*["x"] * 100)(request)
        return [replace(output, logprobs=(told,)) for output in outputs]

    async def job(made: World) -> None:
        answer = await made.complete(n=64, logprobs=20, max_tokens=100)
        choices = orjson.loads(answer.content)["choices"]
        assert [len(c["logprobs"]["top_logprobs"]) for c in choices] == [100] * 64

    # `orjson.loads` of the answer is the test's own, in a callback of its own kind.
    async def run() -> float:
        async with world(FakeRouter(script)) as made:
            dog = Watchdog()
            dog.start()
            await job(made)
            longest = dog.stop()
        return max(ns for ns, what in longest if "RequestResponseCycle" in what) / 1e6

    assert asyncio.run(run()) < 50


def test_of_many_choices_of_a_large_prompt_the_first_goes_ahead() -> None:
    """The others travel when it has its first token; a refusal of the first is the only one."""
    refused = FakeRouter(lambda request: [TimeoutError("refused")])

    async def job() -> None:
        prompt = "x" * 70_000
        async with world(FakeRouter(forever)) as made:
            asking = asyncio.create_task(made.complete(prompt=prompt, n=3, stream=True))
            while len(made.router.requests) < 3:
                await asyncio.sleep(0.01)
            asking.cancel()
            await made.router.until_closed()
        async with world(refused) as made:
            await made.complete(prompt=prompt, n=64)
            assert len(made.router.requests) == 1

    asyncio.run(job())


@pytest.mark.parametrize(
    ("body", "together"),
    [
        ({"messages": [{**MESSAGE, "name": TEXT}]}, 1),
        ({"messages": [{**MESSAGE, "content": TEXT[: 1 << 20]}]}, 4),
        ({"messages": [{**MESSAGE, "content": TEXT[: 1 << 15]}]}, 8),
        (
            {
                "messages": [MESSAGE],
                "tools": [{"type": "function", "function": {"name": "f", "description": TEXT}}],
            },
            1,
        ),
        ({"prompt": ["x", TEXT[: 1 << 21]], "n": 4}, 2),
    ],
    ids=["a name", "a message of 1 MB", "a short one", "tools", "the second prompt"],
)
def test_of_a_large_prompt_few_copies_are_under_way_together(body: Any, together: int) -> None:
    """Eight choices of 4 MB one after the other: each enters when the one before has begun."""
    waiting, most = 0, 0

    class Counts(FakeRouter):
        async def submit(self, request: Any, waits: Any = None) -> Any:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await asyncio.sleep(0.01)
            waiting -= 1
            async for output in super().submit(request, waits):
                yield output

    async def job() -> None:
        async with world(Counts()) as made:
            route = "completions" if "prompt" in body else "chat/completions"
            answer = await made.http.post(f"/v1/{route}", json={"model": MODEL, "n": 8, **body})
            assert answer.status_code == 200, answer.text
            assert len(made.router.requests) == 8

    asyncio.run(job())
    assert most == together


def test_requests_that_are_read_at_once_get_seeds_of_their_own() -> None:
    """Also beside the loop, where the one that came first may be understood last."""

    async def job() -> None:
        async with world() as made:
            await asyncio.gather(*(made.complete(user="x" * 1_000_000) for _ in range(4)))
            await made.complete()
            seeds = [request.sampling.seed for request in made.router.requests]
            assert len(set(seeds)) == 5

    asyncio.run(job())
