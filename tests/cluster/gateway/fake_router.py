"""A scripted cluster: answers what the test wrote down, and counts what is open."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
import numpy as np
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from cluster.api.embedding import Embedded
from cluster.api.output import Output
from cluster.api.request import Request
from cluster.gateway.client import ClusterState
from cluster.gateway.embed_calls import Input
from cluster.gateway.http.server import GatewayServer, serve
from cluster.gateway.settings import GatewaySettings
from tests.cluster.gateway.fake_stores import FakeStores
from workers.errors import NotFound
from workers.model.shaping import Constraint

MODEL = "perfuse-tiny"
Step = Output | BaseException | asyncio.Event
Script = Callable[[Request], Sequence[Step]]


def say(*texts: str, reason: str = "length", prompt: int = 5, cached: int = 2, **last) -> Script:
    """One token a text; the last output carries the reason and `last`."""

    def script(request: Request) -> list[Step]:
        outputs: list[Step] = [
            Output(
                request.request_id,
                position=i,
                token_ids=(i,),
                text=text,
                num_prompt_tokens=prompt,
                num_cached_tokens=cached,
            )
            for i, text in enumerate(texts)
        ]
        final = outputs[-1]
        assert isinstance(final, Output)
        outputs[-1] = replace(final, finish_reason=reason, **last)
        return outputs

    return script


def forever(request: Request) -> Sequence[Step]:
    """One token, then silence."""
    return [Output(request.request_id, 0, (1,), "x", num_prompt_tokens=3), asyncio.Event()]


@dataclass
class FakeRouter(FakeStores):
    """A script's steps: an Output is yielded, an exception raised, an event waited for."""

    script: Script = field(default_factory=lambda: say("Hello", " world", "!"))
    now: ClusterState = field(default_factory=lambda: ClusterState(ready=True))
    requests: list[Request] = field(default_factory=list)
    num_open: int = 0
    deadline_ns: int = 60 * 10**9
    tool_format: str = "hermes"
    embed_gate: asyncio.Event | None = None
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, request: Request, waits=None) -> AsyncGenerator[Output, None]:
        self.requests.append(request)
        self.num_open += 1
        self.opened.set()
        try:
            if request.model != MODEL:
                raise NotFound(f"no model {request.model!r:.80}", param="model")
            for step in self.script(request):
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.num_open -= 1
            self.closed.set()

    async def until_closed(self) -> None:
        """Returns when no generator is open; fails the test rather than hang."""
        async with asyncio.timeout(10):
            while self.num_open:
                self.closed.clear()
                await self.closed.wait()

    async def models(self):
        served = {"id": MODEL, "max_model_len": 512, "tool_format": self.tool_format}
        return [served, {"id": "org/other", "max_model_len": 8}]

    async def embed(self, model: str, texts: Sequence[Input]) -> Embedded:
        """[number of characters, 0.1, 0] each; a token is one, and no word."""
        if model != MODEL:
            raise NotFound(f"no embedder {model!r}", param="model")
        if self.embed_gate is not None:
            await self.embed_gate.wait()
        rows = [[len(text), 0.1, 0] for text in texts]
        return Embedded(
            np.array(rows, np.float32), sum(len(t.split()) for t in texts if isinstance(t, str))
        )

    async def state(self, *, is_brief: bool = False) -> ClusterState:
        return self.now


def constraint_of(request: Request) -> Constraint:
    """What its answer is held to."""
    shaping = request.sampling.shaping
    assert shaping is not None
    assert shaping.constraint is not None
    return shaping.constraint


@dataclass
class World:
    """A gateway on a real socket, a scripted router behind it, and two clients before it."""

    router: FakeRouter
    server: GatewayServer
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    async def chat(self, **body) -> httpx.Response:
        messages = [{"role": "user", "content": "hi"}]
        body = {"model": MODEL, "messages": messages, **body}
        return await self.http.post("/v1/chat/completions", json=body)

    async def complete(self, **body) -> httpx.Response:
        body = {"model": MODEL, "prompt": "a", **body}
        return await self.http.post("/v1/completions", json=body)


@asynccontextmanager
async def world(router: FakeRouter | None = None, **settings):
    router = router or FakeRouter()
    server = serve(router, settings=GatewaySettings(**settings))
    await server.start()
    # Loading certificates takes longer than most tests, and no test uses TLS.
    http = httpx.AsyncClient(base_url=server.url, timeout=20, verify=False)
    inner = DefaultAsyncHttpxClient(verify=False)
    openai = AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key="none", max_retries=0, http_client=inner
    )
    try:
        async with http, openai:
            yield World(router, server, http, openai)
    finally:
        await server.stop()
    assert router.num_open == 0
    assert server.desk.num_open == 0
