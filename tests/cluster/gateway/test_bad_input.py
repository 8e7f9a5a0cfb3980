"""What users get wrong: the right status, an OpenAI-shaped body that names it, and no trace."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.gateway.fake_router import MODEL, FakeRouter, world
from workers.errors import (
    Cancelled,
    ContextTooLong,
    DeadlineExceeded,
    Draining,
    PerfuseError,
    QueueFull,
)

pytestmark = pytest.mark.live
CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


def error_of(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


FILE_SEARCH = {"type": "file_search", "vector_store_ids": ["vs"]}
BAD_CHAT: list[tuple[str, dict]] = [
    ("model", {"model": None}),
    ("model", {"model": 3}),
    ("messages", {"messages": []}),
    ("messages", {"messages": "hi"}),
    ("messages[0]", {"messages": ["hi"]}),
    ("messages[0].role", {"messages": [{"role": "robot", "content": "x"}]}),
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": []}]}),
    (
        "messages[0].content[0].type",
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    ),
    ("messages[0].name", {"messages": [{"role": "user", "content": "x", "name": 7}]}),
    ("max_tokens", {"max_tokens": 0}),
    ("min_tokens", {"max_tokens": 3, "min_tokens": 4}),
    ("max_tokens", {"max_tokens": 1.5}),
    ("max_tokens", {"max_tokens": 10**30}),
    ("max_tokens", {"max_tokens": 3, "max_completion_tokens": 4}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": "hot"}),
    ("top_p", {"top_p": 0}),
    ("top_k", {"top_k": -2}),
    ("seed", {"seed": 1.5}),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop", {"stop": [1]}),
    ("stop", {"stop": ""}),
    ("n", {"n": 0}),
    ("n", {"n": 65}),
    ("best_of", {"n": 2, "best_of": 3}),
    ("top_logprobs", {"top_logprobs": 3}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("logprobs", {"logprobs": 3}),
    ("stream", {"stream": "yes"}),
    ("stream_options", {"stream_options": {"include_usage": True}}),
    ("stream_options.other", {"stream": True, "stream_options": {"other": 1}}),
    ("frequency_penalty", {"frequency_penalty": 2.1}),
    ("presence_penalty", {"presence_penalty": -3}),
    ("presence_penalty", {"presence_penalty": False}),
    ("logit_bias", {"logit_bias": {"five": 1}}),
    ("response_format.type", {"response_format": {"type": "xml"}}),
    ("functions", {"functions": [{"name": "f"}]}),
    ("tools[0].type", {"tools": [{"type": "web_search"}]}),
    ("tools", {"tools": [FILE_SEARCH, FILE_SEARCH]}),
    ("tools[0].vector_store_ids", {"tools": [{"type": "file_search"}]}),
    ("tools[0].max_num_results", {"tools": [FILE_SEARCH | {"max_num_results": 51}]}),
    ("tools[0].filters", {"tools": [FILE_SEARCH | {"filters": {"a": 1}}]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("retrieval", {"retrieval": {"store": "vs"}, "tools": [FILE_SEARCH]}),
    ("retrieval.store", {"retrieval": {}}),
    ("retrieval.top_k", {"retrieval": {"store": "vs", "top_k": 0}}),
    ("reasoning_effort", {"reasoning_effort": "high"}),
    ("guided_json", {"guided_json": "{"}),
    ("no_such_field", {"no_such_field": 1}),
]
BAD_COMPLETION: list[tuple[str, dict]] = [
    ("suffix", {"suffix": "x"}),
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": ""}),
    ("prompt", {"prompt": []}),
    ("prompt", {"prompt": ["a", ""]}),
    ("prompt", {"prompt": ["a", 1]}),
    ("prompt", {"prompt": [-1]}),
    ("prompt", {"prompt": [[1], []]}),
    ("prompt", {"prompt": [1 << 31]}),
    ("logprobs", {"logprobs": 21}),
    ("logprobs", {"logprobs": True}),
    ("n", {"prompt": ["a"] * 40, "n": 2}),
    ("retrieval", {"prompt": ["a", "b"], "retrieval": {"store": "vs"}}),
]


async def no_trace(w) -> None:
    """Nothing reached the router, and no metric of a model has appeared."""
    assert w.router.requests == []
    text = (await w.http.get("/metrics")).text
    for family in text_string_to_metric_families(text):
        assert all(s.labels.get("model_name", MODEL) == MODEL for s in family.samples)
        if family.type in ("counter", "histogram"):
            assert all(s.value == 0 for s in family.samples), family.name


def test_wrong_fields_are_refused_by_name():
    async def main():
        async with world() as w:
            for param, fields in BAD_CHAT:
                error = error_of(await w.chat(**fields), 400)
                assert (error["param"], error["code"]) == (param, "invalid_request_error"), fields
                assert param in error["message"]
            for param, fields in BAD_COMPLETION:
                error = error_of(await w.complete(**fields), 400)
                assert error["param"] == param, fields
            await no_trace(w)

    asyncio.run(main())


def test_harmless_and_neutral_fields_pass():
    async def main():
        async with world() as w:
            harmless = {
                "user": "me",
                "metadata": {"a": "b"},
                "store": True,
                "service_tier": "auto",
                "parallel_tool_calls": True,
                "presence_penalty": 0.0,
                "frequency_penalty": 0,
                "logit_bias": {},
                "response_format": {"type": "text"},
                "tools": [],
                "tool_choice": "auto",
                "best_of": 1,
                "audio": None,
                "n": 1,
            }
            assert (await w.chat(**harmless)).status_code == 200
            assert (await w.complete(echo=False, suffix=None)).status_code == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1]", b'"x"', b"\xff", b'{"a": NaN}', b'{"model": "\\ud800"}', b"[" * 5000],
    ids=["empty", "cut", "list", "string", "not utf-8", "nan", "surrogate", "deep"],
)
def test_malformed_json_is_400(raw):
    async def main():
        async with world() as w:
            for path in (CHAT, "/v1/completions", "/v1/vector_stores"):
                error = error_of(await w.http.post(path, content=raw), 400)
                assert error["type"] == "invalid_request_error"
            await no_trace(w)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (
            ContextTooLong("600 tokens do not fit 512", param="messages"),
            400,
            "context_length_exceeded",
        ),
        (QueueFull("100 wait", retry_after_s=2.5), 429, "queue_full"),
        (Draining("going"), 503, "draining"),
        (DeadlineExceeded("late"), 504, "deadline_exceeded"),
        (Cancelled("by an operator"), 503, "cancelled"),
        (PerfuseError("ValueError: secret"), 500, "internal_error"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_the_routers_refusals_have_their_status_streamed_or_not(error, status, code):
    async def main():
        async with world(FakeRouter(script=lambda request: [error])) as w:
            for fields in ({}, {"stream": True}, {"n": 2}, {"n": 2, "stream": True}):
                response = await w.chat(**fields)
                assert error_of(response, status)["code"] == code
                assert "secret" not in response.text
                assert "Traceback" not in response.text
                assert response.headers.get("retry-after") == {429: "3", 503: "1"}.get(status)

    asyncio.run(main())


def test_unknown_models_are_404():
    async def main():
        async with world() as w:
            assert error_of(await w.chat(model="gpt-9"), 404)["code"] == "model_not_found"
            response = await w.http.get("/v1/models/gpt-9")
            assert error_of(response, 404)["param"] == "model"
            text = (await w.http.get("/metrics")).text
            assert "gpt-9" not in text

    asyncio.run(main())


def test_unknown_routes_and_wrong_methods():
    async def main():
        async with world() as w:
            assert error_of(await w.http.get("/v1/nothing"), 404)["code"] == "unknown_url"
            assert error_of(await w.http.get("/v1/models/"), 404)
            wrong = await w.http.get(CHAT)
            assert error_of(wrong, 405)["code"] == "method_not_allowed"
            assert wrong.headers["allow"] == "POST"
            assert error_of(await w.http.put("/v1/files"), 405)
            assert error_of(await w.http.delete("/health"), 405)

    asyncio.run(main())


def test_large_bodies_are_413_by_header_and_by_count():
    async def chunks():
        for _ in range(64):
            yield b"x" * 1000

    async def main():
        async with world(max_body_bytes=10_000) as w:
            for content in (b"x" * 64_000, chunks()):
                response = await w.http.post(CHAT, content=content)
                assert error_of(response, 413)["code"] == "request_too_large"
                assert response.headers["connection"] == "close"
            await no_trace(w)

    asyncio.run(main())


def test_an_endless_chunked_body_is_cut_off():
    """The gateway answers and hangs up while the client is still writing."""

    async def main():
        async with world(max_body_bytes=10_000) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            writer.write(
                b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            num_sent = 0
            chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
            answer = asyncio.create_task(reader.readuntil(b"}}"))
            try:
                async with asyncio.timeout(10):
                    while True:
                        writer.write(chunk)
                        await writer.drain()
                        num_sent += len(chunk)
            except ConnectionError:
                pass
            assert (await answer).startswith(b"HTTP/1.1 413")
            assert num_sent < 50_000_000
            writer.close()

    asyncio.run(main())


def test_a_stalled_body_is_408():
    async def main():
        async with world(body_timeout_s=0.05) as w:
            reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
            writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            assert (await reader.read()).startswith(b"HTTP/1.1 408")
            writer.close()

    asyncio.run(main())


def test_too_many_generations_at_once_are_429():
    go = asyncio.Event()

    async def main():
        async with world(FakeRouter(script=lambda r: [go, RuntimeError()]), max_inflight=1) as w:
            first = asyncio.create_task(w.chat())
            await w.router.opened.wait()
            refused = await w.chat()
            assert error_of(refused, 429)["code"] == "queue_full"
            assert refused.headers["retry-after"] == "1"
            go.set()
            await first

    asyncio.run(main())
