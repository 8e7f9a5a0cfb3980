"""Chat and completions through the official client, on real sockets."""

import asyncio
import json

import openai
import pytest

from cluster.api.output import Output, TokenLogprob
from cluster.api.request import Retrieval
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, forever, say, world
from workers.errors import DeadlineExceeded, PeerDead
from workers.errors import to_body as error_body

pytestmark = pytest.mark.live
HI = [{"role": "user", "content": "hi"}]


def events(text: str) -> list:
    """The events of a stream, the last of which must be [DONE]."""
    blocks = text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def run(test, router: FakeRouter | None = None, **settings) -> None:
    async def main() -> None:
        async with world(router, **settings) as w:
            await test(w)

    asyncio.run(main())


def test_a_chat_answer_in_one_piece():
    async def test(w):
        answer = await w.openai.chat.completions.create(model=MODEL, messages=HI)
        choice = answer.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("Hello world!", "length")
        assert (answer.model, answer.object) == (MODEL, "chat.completion")
        assert answer.usage.prompt_tokens == 5
        assert answer.usage.completion_tokens == 3
        assert answer.usage.total_tokens == 8
        assert answer.usage.prompt_tokens_details.cached_tokens == 2
        assert w.router.requests[0].messages == ({"role": "user", "content": "hi"},)

    run(test)


def test_a_chat_stream_is_the_same_text_one_chunk_an_output():
    async def test(w):
        stream = await w.openai.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert [c.choices[0].delta.content for c in chunks[:-1]] == ["Hello", " world", "!"]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None, None, "length"]
        assert [c.usage for c in chunks[:-1]] == [None] * 3
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == 3
        assert len({c.id for c in chunks}) == 1

    run(test)


def test_completions_stream_and_whole():
    async def test(w):
        whole = await w.openai.completions.create(model=MODEL, prompt="a")
        assert whole.choices[0].text == "Hello world!"
        stream = await w.openai.completions.create(model=MODEL, prompt="a", stream=True)
        texts = [chunk.choices[0].text async for chunk in stream]
        assert texts == ["Hello", " world", "!"]

    run(test)


def test_usage_in_every_chunk_where_asked_for():
    async def test(w):
        options = {"include_usage": True, "continuous_usage_stats": True}
        chunks = events((await w.chat(stream=True, stream_options=options)).text)
        assert [c["usage"]["completion_tokens"] for c in chunks] == [1, 2, 3, 3]

    run(test)


def test_prompts_as_strings_and_ids_become_submissions_of_their_own():
    async def test(w):
        answer = (await w.complete(prompt=["a", "b"], n=2, seed=7)).json()
        assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
        assert [r.prompt for r in w.router.requests] == ["a", "a", "b", "b"]
        seeds = [r.sampling.seed for r in w.router.requests]
        assert seeds[0] == 7 == seeds[2]
        assert seeds[1] == seeds[3] != 7
        assert len({r.request_id for r in w.router.requests}) == 4
        assert answer["usage"]["prompt_tokens"] == 10  # a prompt counts once, not n times
        assert answer["usage"]["completion_tokens"] == 12
        w.router.requests.clear()
        await w.complete(prompt=[1, 2, 3])
        await w.complete(prompt=[[4], [5, 6]])
        assert [r.prompt_ids for r in w.router.requests] == [(1, 2, 3), (4,), (5, 6)]

    run(test)


def test_n_choices_stream_interleaved_and_whole():
    async def test(w):
        stream = await w.openai.chat.completions.create(model=MODEL, messages=HI, n=3, stream=True)
        texts = {0: "", 1: "", 2: ""}
        async for chunk in stream:
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content
        assert texts == dict.fromkeys((0, 1, 2), "Hello world!")

    run(test)


def test_sampling_parameters_reach_the_router():
    async def test(w):
        await w.chat(
            max_completion_tokens=9,
            temperature=0.5,
            top_p=0.9,
            top_k=-1,
            seed=-1,
            stop=["x", "y"],
            ignore_eos=True,
            logprobs=True,
            top_logprobs=4,
        )
        p = w.router.requests[0].sampling
        assert (p.max_tokens, p.temperature, p.top_p, p.top_k) == (9, 0.5, 0.9, 0)
        assert p.seed == (1 << 63) - 1
        assert (p.stop, p.ignore_eos, p.logprobs) == (("x", "y"), True, 4)
        await w.complete(stop="z")
        p = w.router.requests[1].sampling
        assert (p.stop, p.temperature, p.max_tokens, p.logprobs) == (("z",), 0.0, 16, None)

    run(test)


def test_unseeded_requests_differ_and_repeat_in_another_run():
    async def seeds() -> list[int]:
        async with world() as w:
            await w.chat()
            await w.chat(n="wrong")
            await w.http.get("/health")
            await w.chat()
            return [r.sampling.seed for r in w.router.requests]

    first = asyncio.run(seeds())
    assert first[0] != first[1]
    assert asyncio.run(seeds()) == first


def test_default_temperature_is_a_setting():
    async def test(w):
        await w.chat()
        assert w.router.requests[0].sampling.temperature == 1.0

    run(test, default_temperature=1.0)


def test_text_parts_are_joined_and_developer_is_system():
    async def test(w):
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        echoed = {"role": "assistant", "content": "c", "refusal": None, "tool_calls": None}
        await w.chat(messages=[{"role": "developer", "content": parts}, echoed])
        assert w.router.requests[0].messages == (
            {"role": "system", "content": "a\nb"},
            {"role": "assistant", "content": "c"},
        )

    run(test)


LOGPROBS = (TokenLogprob(0, b"H\xc3\xa9", -0.5, ((0, b"H\xc3\xa9", -0.5), (1, b"\xc3", -1e999))),)


def test_logprobs_of_chat():
    async def test(w):
        for stream in (False, True):
            answer = await w.openai.chat.completions.create(
                model=MODEL, messages=HI, logprobs=True, top_logprobs=2, stream=stream
            )
            if stream:
                answer = [chunk async for chunk in answer][-1]
            token = answer.choices[0].logprobs.content[0]
            assert (token.token, token.logprob) == ("Hé", -0.5)
            assert token.bytes == list("Hé".encode())
            assert token.top_logprobs[1].logprob == -9999.0
            assert (token.top_logprobs[1].token, token.top_logprobs[1].bytes) == ("\\xc3", [0xC3])

    run(test, FakeRouter(script=say("Hé", logprobs=LOGPROBS)))


def test_logprobs_of_completions_have_offsets_across_chunks():
    def script(request):
        for i, text in enumerate(("ab", "c", "d")):
            reason = "stop" if i == 2 else ""
            one = TokenLogprob(i, text.encode(), -1.0, ((i, text.encode(), -1.0),))
            yield Output(request.request_id, i, (i,), text, (one,), reason)

    async def test(w):
        whole = (await w.openai.completions.create(model=MODEL, prompt="a", logprobs=1)).choices[0]
        assert whole.logprobs.text_offset == [0, 2, 3]
        assert whole.logprobs.tokens == ["ab", "c", "d"]
        assert whole.logprobs.top_logprobs[0] == {"ab": -1.0}
        chunks = events((await w.complete(stream=True, logprobs=1)).text)
        offsets = [c["choices"][0]["logprobs"]["text_offset"] for c in chunks]
        assert offsets == [[0], [2], [3]]

    run(test, FakeRouter(script=script))


def test_text_held_back_makes_no_chunk():
    async def test(w):
        chunks = events((await w.chat(stream=True)).text)
        assert [c["choices"][0]["delta"].get("content") for c in chunks] == ["é", None]

    run(test, FakeRouter(script=say("", "é", "", reason="stop")))


@pytest.mark.parametrize(
    "field",
    [
        {"retrieval": {"store": "vs_1", "top_k": 2}},
        {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 2}]},
    ],
)
@pytest.mark.parametrize("usage", [None, {"include_usage": True}])
def test_retrieval_and_approximate_tokens_show_in_the_answer(field, usage):
    async def test(w):
        want = {"store": "vs_1", "top_k": 2, "passages": ["one", "two"]}
        answer = (await w.chat(**field)).json()
        assert w.router.requests[0].retrieval == Retrieval("vs_1", 2)
        assert answer["retrieval"] == want
        assert answer["choices"][0]["approximate"] == [1]
        chunks = events((await w.chat(**field, stream=True, stream_options=usage)).text)
        assert ["retrieval" in c for c in chunks[:2]] == [False, True]
        assert chunks[1]["retrieval"] == want
        assert chunks[1]["choices"][0]["approximate"] == [1]

    run(test, FakeRouter(script=say("a", "b", passages=("one", "two"), approximate=(1,))))


def test_request_ids_are_echoed_and_work_stays_unique():
    async def test(w):
        for _ in range(2):
            response = await w.http.post(
                "/v1/completions",
                json={"model": MODEL, "prompt": "a"},
                headers={"X-Request-Id": "mine-1"},
            )
            assert response.headers["x-request-id"] == "mine-1"
        first, second = (r.request_id for r in w.router.requests)
        assert first != second
        assert first.startswith("mine-1")
        own = await w.http.get("/version")
        assert own.headers["x-request-id"].startswith(w.server.desk.incarnation)
        bad = await w.http.get("/version", headers={"X-Request-Id": "a b"})
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, "X-Request-Id")

    run(test)


@pytest.mark.parametrize("inside", [False, True], ids=["raised", "as output"])
def test_an_error_in_the_middle_of_a_stream_is_an_event_and_then_done(inside):
    def script(request):
        yield Output(request.request_id, 0, (1,), "a")
        error = PeerDead("chip-3 died")
        if inside:
            body = error_body(error)
            yield Output(request.request_id, 1, finish_reason="error", error=body)
        yield error

    async def test(w):
        chunks = events((await w.chat(stream=True)).text)
        assert chunks[0]["choices"][0]["delta"]["content"] == "a"
        assert chunks[1]["error"]["code"] == "peer_dead"
        stream = await w.openai.chat.completions.create(model=MODEL, messages=HI, stream=True)
        with pytest.raises(openai.APIError, match="chip-3 died"):
            async for _ in stream:
                pass
        whole = await w.chat()
        assert (whole.status_code, whole.json()["error"]["code"]) == (503, "peer_dead")

    run(test, FakeRouter(script=script))


def test_an_error_of_one_choice_ends_all():
    def script(request):
        yield Output(request.request_id, 0, (1,), "a")
        if request.request_id.endswith("-1"):
            yield DeadlineExceeded("too late")
        yield asyncio.Event()

    async def test(w):
        chunks = events((await w.chat(stream=True, n=3)).text)
        assert chunks[-1]["error"]["code"] == "deadline_exceeded"
        assert w.router.num_open == 0
        assert (await w.chat(n=3)).status_code == 504

    run(test, FakeRouter(script=script))


@pytest.mark.parametrize(
    "broken",
    [
        lambda r: [Output(r.request_id, 0, (1,), "a")],
        lambda r: [
            Output(r.request_id, 0, (1,), "a"),
            Output(r.request_id, 2, (2,), "b", (), "stop"),
        ],
        lambda r: [
            Output(r.request_id, 0, (1,), "a"),
            Output(r.request_id, 0, (1,), "a", (), "stop"),
        ],
    ],
    ids=["no end", "hole", "repeated"],
)
def test_a_stream_that_is_not_whole_never_looks_like_an_answer(broken):
    async def test(w):
        assert events((await w.chat(stream=True)).text)[-1]["error"]["code"] == "corrupt_message"
        assert (await w.chat()).status_code == 502

    run(test, FakeRouter(script=broken))


def test_stop_ends_open_streams_with_an_error_and_refuses_new_ones():
    async def main():
        async with world(FakeRouter(script=forever), drain_timeout_s=0.2) as w:
            answer = asyncio.create_task(w.chat(stream=True))
            await w.router.opened.wait()
            # A second connection, so that a new request can come while the listener is up.
            stopping = asyncio.create_task(w.server.stop())
            await asyncio.sleep(0)  # `stop` runs up to its first wait
            assert w.server.desk.draining
            refused = await w.chat()
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            assert (await w.http.get("/health")).status_code == 503
            assert events((await answer).text)[-1]["error"]["code"] == "draining"
            await stopping

    asyncio.run(main())


def test_stop_lets_open_streams_finish():
    go = asyncio.Event()

    def script(request):
        yield Output(request.request_id, 0, (1,), "a")
        yield go
        yield Output(request.request_id, 1, (2,), "b", (), "stop")

    async def main():
        async with world(FakeRouter(script=script)) as w:
            answer = asyncio.create_task(w.chat())
            await w.router.opened.wait()
            stopping = asyncio.create_task(w.server.stop())
            await asyncio.sleep(0)  # `stop` runs up to its first wait
            assert w.server.desk.draining
            go.set()
            assert (await answer).json()["choices"][0]["message"]["content"] == "ab"
            await stopping

    asyncio.run(main())
