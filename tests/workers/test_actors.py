"""A node's process: one node, made when it is first asked anything."""

import asyncio
from typing import Any

import pytest

from workers.actors import Process


class Seat:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def ask(self, question: str, *arguments: Any) -> Any:
        self.asked.append((question, *arguments))
        return len(self.asked)


def test_its_node_is_made_once_and_ends_only_if_it_ever_stood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    monkeypatch.setattr("workers.actors.native.set_num_threads", threads.append)
    made: list[Seat] = []

    def make() -> Seat:
        made.append(Seat())
        return made[-1]

    async def scenario() -> None:
        process = Process(make)
        await process.end("stop")
        assert not made, "nothing stood, so nothing ends"
        assert await process.ask("listen") == 1
        assert await process.ask("meet", "b", 3) == 2
        await process.end("stop")
        assert [seat.asked for seat in made] == [[("listen",), ("meet", "b", 3), ("stop",)]]

    asyncio.run(scenario())
    assert threads == [1], "one of many processes computes on one thread"
