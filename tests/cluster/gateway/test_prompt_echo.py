"""`echo` of a completion: the prompt first, once a choice."""

import asyncio

import pytest

from tests.cluster.gateway.fake_router import MODEL, FakeRouter, say, world

pytestmark = pytest.mark.live


def test_each_choice_begins_with_its_own_prompt_streamed_or_not() -> None:
    async def main() -> None:
        async with world(FakeRouter(say("", " x", "y"))) as w:
            ask = w.openai.completions.create
            asked = {"model": MODEL, "prompt": ["One", "Two"], "n": 2, "echo": True}
            whole = await ask(**asked)
            texts = [choice.text for choice in whole.choices]
            assert texts == ["One xy", "One xy", "Two xy", "Two xy"]
            told = [""] * 4
            async for chunk in await ask(**asked, stream=True):
                for choice in chunk.choices:
                    told[choice.index] += choice.text
            assert told == texts
            plain = await ask(model=MODEL, prompt="One", echo=False)
            assert plain.choices[0].text == " xy"

    asyncio.run(main())


def test_what_the_cluster_alone_knows_of_a_prompt_is_not_promised() -> None:
    async def main() -> None:
        async with world() as w:
            for fields, words in (
                ({"echo": True, "logprobs": 0}, "echo is not supported with logprobs"),
                ({"echo": True, "prompt": [1, 2]}, "echo is not supported with a prompt of token"),
                ({"echo": True, "prompt": [[1], [2]]}, "send its text"),
                ({"echo": "yes"}, "echo is 'yes'"),
            ):
                answer = await w.complete(**fields)
                error = answer.json()["error"]
                assert answer.status_code == 400 and words in error["message"], error
                assert error["param"] == "echo"

    asyncio.run(main())
