"""/v1/embeddings through the official client, before a scripted router."""

import asyncio
import base64

import numpy as np
import openai
import pytest

from tests.cluster.gateway.fake_router import MODEL, FakeRouter, world

pytestmark = pytest.mark.live


def run(test, router: FakeRouter | None = None, **settings) -> None:
    async def main() -> None:
        async with world(router, **settings) as w:
            await test(w)

    asyncio.run(main())


async def post(w, **body):
    return await w.http.post("/v1/embeddings", json={"model": MODEL, **body})


def test_the_official_client_reads_its_own_base64_and_floats_alike():
    async def test(w):
        made = await w.openai.embeddings.create(model=MODEL, input=["ab cd", "e"])
        plain = await w.openai.embeddings.create(
            model=MODEL, input=["ab cd", "e"], encoding_format="float"
        )
        assert [row.index for row in made.data] == [0, 1]
        assert [row.embedding for row in made.data] == [
            [5.0, np.float32(0.1), 0.0],
            [1.0, np.float32(0.1), 0.0],
        ]
        # JSON has the shortest spelling of a float32, so a client that knows no float32 sees 0.1.
        assert [row.embedding for row in plain.data] == [[5.0, 0.1, 0.0], [1.0, 0.1, 0.0]]
        assert (made.object, made.model) == ("list", MODEL)
        assert (made.usage.prompt_tokens, made.usage.total_tokens) == (3, 3)

    run(test)


def test_one_string_is_one_vector_in_little_endian_base64():
    async def test(w):
        body = (await post(w, input="abc", encoding_format="base64")).json()
        raw = base64.b64decode(body["data"][0]["embedding"])
        assert raw == np.array([3, 0.1, 0], "<f4").tobytes()

    run(test)


@pytest.mark.parametrize(
    ("given", "lengths"), [([7, 8, 9], [3]), ([[7, 8], [9]], [2, 1]), (["ab c", [7]], [4, 1])]
)
def test_token_ids_are_one_text_or_each_a_text(given, lengths):
    async def test(w):
        made = await w.openai.embeddings.create(model=MODEL, input=given)
        assert [row.embedding[0] for row in made.data] == lengths

    run(test)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "input is missing"),
        ({"input": ""}, "input[0] is ''"),
        ({"input": []}, "input is []"),
        ({"input": ["a", ""]}, "input[1] is ''"),
        ({"input": ["a", None]}, "input[1] is missing"),
        ({"input": ["a", 1]}, "input[1] is 1"),
        ({"input": [1, "a"]}, "input[0] is 1"),
        ({"input": [[1, 2], []]}, "input[1] is []"),
        ({"input": [[1, -2]]}, "input[0] is [1, -2]"),
        ({"input": [[1, 2.5]]}, "input[0] is [1, 2.5]"),
        ({"input": {"text": "a"}}, "input is {"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format is 'int8'"),
        ({"input": "a", "dimensions": 2}, "dimensions is 2: this embedder's vectors have 3"),
        ({"input": "a", "dimensions": 0}, "dimensions is 0"),
        ({"input": "a", "truncate": True}, "truncate is not supported"),
        ({"input": ["a"] * 2049}, "input has 2049 texts: at most 2048"),
        ({"input": ["a", "b" * 262145]}, "input[1] has 262145 characters: at most 262144"),
        ({"input": "a", "model": 3}, "model is 3"),
    ],
)
def test_bad_input_is_a_400_that_names_it(body, words):
    async def test(w):
        answer = await post(w, **body)
        assert answer.status_code == 400 and words in answer.json()["error"]["message"]

    run(test)


def test_the_embedder_s_own_number_of_dimensions_may_be_named():
    async def test(w):
        made = await w.openai.embeddings.create(model=MODEL, input="a", dimensions=3, user="me")
        assert len(made.data[0].embedding) == 3

    run(test)


def test_an_unknown_embedder_is_a_404():
    async def test(w):
        with pytest.raises(openai.NotFoundError, match="no embedder 'ada'"):
            await w.openai.embeddings.create(model="ada", input="a")

    run(test)


def test_it_is_counted_like_a_generation():
    async def test(w):
        await post(w, input=["a b", "c"])
        lines = (await w.http.get("/metrics")).text.splitlines()
        label = f'model_name="{MODEL}"'
        (prompt,) = (x for x in lines if x.startswith("vllm:prompt_tokens_total") and label in x)
        (success,) = (x for x in lines if "success_total" in x and '"stop"' in x)
        assert (prompt.split()[-1], success.split()[-1]) == ("3.0", "1.0")

    run(test)


def test_who_hangs_up_or_comes_while_it_drains_holds_nothing():
    router = FakeRouter(embed_gate=asyncio.Event())

    async def test(w):
        task = asyncio.create_task(post(w, input="a"))
        while not w.server.desk.num_open:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(10):
            while w.server.desk.num_open:
                await asyncio.sleep(0.01)
        w.server.desk.draining = True
        assert (await post(w, input="a")).status_code == 503

    run(test, router)


def test_too_many_at_once_are_told_to_wait():
    gate = asyncio.Event()
    router = FakeRouter(embed_gate=gate)

    async def test(w):
        first = asyncio.create_task(post(w, input="a"))
        while not w.server.desk.num_open:
            await asyncio.sleep(0.01)
        refused = await post(w, input="a")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        gate.set()
        assert (await first).status_code == 200

    run(test, router, max_inflight=1)
