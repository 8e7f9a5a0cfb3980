"""A client that lost its connection sends its request again, and receives only what is missing."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.api.output import Output
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, World, forever, say, world

CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
COMPLETION = ("/v1/completions", {"prompt": "a"})
RESPONSE = ("/v1/responses", {"input": "hi"})
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = ('<tool_call>{"name": "f", ', '"arguments": {}}', "</tool_call>")
WORDS = ("One", " two", "", " three", ".")


def run(test: Callable[[World], Awaitable[None]], router: FakeRouter, **settings: object) -> None:
    async def main() -> None:
        async with world(router, **settings) as w:
            w.server.desk._now_s = lambda: 1_800_000_000.0
            await asyncio.wait_for(test(w), 30)

    asyncio.run(main())


async def ask(w: World, path: str, body: dict, name: str = "mine", last: str | None = None):
    headers = {"X-Request-Id": name, **({"Last-Event-ID": last} if last else {})}
    return await w.http.post(path, json={"model": MODEL, "stream": True, **body}, headers=headers)


def ids(text: str) -> list[str]:
    return [line[4:] for line in text.splitlines() if line.startswith("id: ")]


def after(text: str, event_id: str) -> str:
    """All that follows the event of that id."""
    return text.split(f"id: {event_id}\n")[1].split("\n\n", 1)[1]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (*CHAT, WORDS),
        (CHAT[0], CHAT[1] | {"stream_options": {"include_usage": True}}, WORDS),
        (CHAT[0], CHAT[1] | {"tools": [TOOL]}, (*WORDS, *CALL)),
        (*COMPLETION, WORDS),
        (*RESPONSE, WORDS),
        (RESPONSE[0], RESPONSE[1] | {"tools": [{"type": "function", "name": "f"}]}, CALL),
    ],
    ids=["chat", "usage", "tools", "completion", "response", "response with a tool"],
)
def test_after_every_event_what_is_missing_comes_and_nothing_else(path, body, words):
    async def test(w):
        whole = (await ask(w, path, body)).text
        events = [event for event in whole.split("\n\n") if event]
        assert len(ids(whole)) == len(set(ids(whole))) == len(events) - ("[DONE]" in whole)
        for event_id in ids(whole):
            assert (await ask(w, path, body, last=event_id)).text == after(whole, event_id)

    run(test, FakeRouter(script=say(*words)))


def test_of_several_choices_each_goes_on_where_it_was():
    def script(request):
        return say("a", "b", "c") if request.request_id.endswith("-0") else say("x", "y")

    router = FakeRouter(script=lambda request: script(request)(request))

    async def test(w):
        whole = (await ask(w, *CHAT_OF_TWO)).text
        for event_id in ids(whole):
            rest = (await ask(w, *CHAT_OF_TWO, last=event_id)).text
            assert sorted(_choices(rest)) == sorted(_choices(after(whole, event_id)))

    run(test, router)


CHAT_OF_TWO = (CHAT[0], CHAT[1] | {"n": 2})


def _choices(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("data: {")]


def test_a_gateway_that_knows_nothing_of_the_first_goes_on_with_the_same_answer():
    """What the first one said is all that the second one needs: seed, ids, place."""
    router = FakeRouter(script=say(*WORDS))
    heard = []

    async def test(w):
        last = ids(heard[0])[1] if heard else None
        heard.append((await ask(w, *CHAT, last=last)).text)

    run(test, router)
    run(test, router)
    assert heard[1] == after(heard[0], ids(heard[0])[1])
    first, second = router.requests
    assert first.sampling.seed == second.sampling.seed
    assert first.request_id != second.request_id


def test_without_a_name_events_have_no_ids():
    async def test(w):
        assert ids((await w.chat(stream=True)).text) == []

    run(test, FakeRouter())


def test_the_same_name_with_another_body_is_refused():
    async def test(w):
        whole = (await ask(w, *CHAT)).text
        other = {"messages": [{"role": "user", "content": "ho"}]}
        for last in (None, ids(whole)[0]):
            refused = await ask(w, CHAT[0], other, last=last)
            assert (refused.status_code, _code(refused)) == (409, "request_id_in_use")
            assert ("Last-Event-ID" if last else "X-Request-Id") in refused.text
        assert (await ask(w, CHAT[0], other, name="another")).status_code == 200
        assert (await ask(w, *CHAT)).text == whole
        assert len(w.router.requests) == 3

    run(test, FakeRouter())


def _code(response) -> str:
    return response.json()["error"]["code"]


@pytest.mark.parametrize("words", ["abc", ""], ids=["other", "shorter"])
def test_tokens_that_come_out_otherwise_are_an_error_with_a_status_of_its_own(words):
    def otherwise(request):
        ids = range(100, 100 + len(words))
        return [
            Output(request.request_id, i, (token,), words[i], num_prompt_tokens=5)
            for i, token in enumerate(ids)
        ] + [Output(request.request_id, len(words), (1,), finish_reason="length")]

    async def test(w):
        whole = (await ask(w, *CHAT)).text
        w.router.script = otherwise
        refused = await ask(w, *CHAT, last=ids(whole)[1])
        assert (refused.status_code, _code(refused)) == (409, "cannot_resume")

    run(test, FakeRouter(script=say("One", " two", " three")))


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({"Last-Event-ID": "f" * 16 + "-1:00000000"}, {"stream": True}),
        ({"Last-Event-ID": "f" * 16 + "-1:00000000", "X-Request-Id": "a"}, {}),
        ({"Last-Event-ID": "7", "X-Request-Id": "a"}, {"stream": True}),
        ({"Last-Event-ID": "f" * 16 + "-1:0000000g", "X-Request-Id": "a"}, {"stream": True}),
        ({"Last-Event-ID": "-" * 9000, "X-Request-Id": "a"}, {"stream": True}),
    ],
    ids=["no name", "no stream", "no id of ours", "a letter", "long"],
)
def test_a_last_event_id_that_makes_no_sense_is_a_400_that_names_it(headers, fields):
    async def test(w):
        body = {"model": MODEL, **CHAT[1], **fields}
        refused = await w.http.post(CHAT[0], json=body, headers=headers)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "Last-Event-ID"
        assert len(refused.text) < 600 and not w.router.requests

    run(test, FakeRouter())


@pytest.mark.parametrize("streams", [True, False])
def test_the_later_of_two_readers_takes_over_and_the_earlier_hears_why(streams):
    def script(request):
        if len(router.requests) > 1:
            return say("x", "y")(request)
        return forever(request)

    router = FakeRouter(script=script)

    async def test(w):
        first = asyncio.create_task(ask(w, CHAT[0], CHAT[1] | {"stream": streams}))
        await router.opened.wait()
        second = await ask(w, CHAT[0], CHAT[1] | {"stream": streams})
        ended = await first
        assert '"y"' in second.text or '"xy"' in second.text
        assert '"code":"taken_over"' in ended.text
        assert ended.status_code == (200 if streams and '"x"' in ended.text else 409)
        await router.until_closed()
        assert len(w.server.desk.names) == 1  # kept for a while

    run(test, router)


def test_the_openai_client_reads_events_with_ids():
    async def test(w):
        messages = [{"role": "user", "content": "hi"}]
        said = ""
        async for chunk in await w.openai.chat.completions.create(
            model=MODEL, messages=messages, stream=True, extra_headers={"X-Request-Id": "mine"}
        ):
            said += chunk.choices[0].delta.content or ""
        assert said == "".join(WORDS)
        events = [
            event.type
            async for event in await w.openai.responses.create(
                model=MODEL, input="hi", stream=True, extra_headers={"X-Request-Id": "yours"}
            )
        ]
        assert events[0] == "response.created" and events[-1] == "response.incomplete"

    run(test, FakeRouter(script=say(*WORDS)))


def test_a_response_that_is_made_again_takes_the_first_ones_place():
    async def test(w):
        kept = [(await ask(w, RESPONSE[0], {"input": "hi", "stream": False})).json() for _ in "ab"]
        assert kept[0]["id"] == kept[1]["id"]
        assert (await w.http.delete(f"/v1/responses/{kept[0]['id']}")).status_code == 200
        assert (await w.http.get(f"/v1/responses/{kept[0]['id']}")).status_code == 404

    run(test, FakeRouter())
