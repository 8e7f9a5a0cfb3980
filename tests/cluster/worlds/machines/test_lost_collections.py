"""Collections are brought again when a node that held them has come back empty."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import lost_collections as tested
from cluster.worlds.machines.lost_collections import LostCollections
from configs.schema import load_scenario
from workers.errors import NotFound, PeerDead

PLAN = Blueprint.draw(load_scenario("demo"))


class Fleet:
    """errors   what the router says to one question after the other, then nothing"""

    def __init__(self, *errors: Exception) -> None:
        self.setup, self.errors = self, list(errors)
        self.blueprint = PLAN
        self.asked: list[tuple[Any, ...]] = []

    async def ask(self, *question: Any) -> None:
        self.asked.append(question)
        if self.errors:
            raise self.errors.pop(0)


def with_one(fleet: Fleet, job: Callable[[LostCollections], Awaitable[None]]) -> None:
    async def main() -> None:
        lost = LostCollections(fleet)  # type: ignore[arg-type]
        try:
            await job(lost)
        finally:
            lost.end()

    asyncio.run(main())


async def pause() -> None:
    for _ in range(5):
        await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "RETRY_S", 0.001)


def test_what_keeps_its_disk_needs_nothing() -> None:
    fleet = Fleet()

    async def job(lost: LostCollections) -> None:
        lost.came_back("hbf-0", False)
        lost.came_back("decode-0", True)
        await pause()
        assert fleet.asked == []

    with_one(fleet, job)


@pytest.mark.parametrize("node", ["hbf-0", "router"])
def test_what_is_elsewhere_is_filled_again_when_all_are_there(node: str) -> None:
    fleet = Fleet(PeerDead("pnm-0 is gone", node="pnm-0"), TimeoutError())

    async def job(lost: LostCollections) -> None:
        lost.came_back(node, True)
        await pause()
        assert fleet.asked == [("router", "preload", True)] * 3 and lost.problem == ""

    with_one(fleet, job)


def test_what_cannot_be_brought_again_is_told_and_not_tried_for_ever() -> None:
    fleet = Fleet(NotFound("files were added"))

    async def job(lost: LostCollections) -> None:
        lost.came_back("hbf-0", True)
        await pause()
        assert len(fleet.asked) == 1
        assert lost.problem == "collections cannot be brought again: files were added"

    with_one(fleet, job)
