"""Who is gone, and who comes back: with nodes that are stand-ins, and answer as they are told."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from cluster.worlds.machines import mender as tested
from cluster.worlds.machines import returning
from cluster.worlds.machines.mender import Mender
from configs.schema import load_scenario
from workers.errors import PeerDead
from workers.wire.membership import Member

LINK = load_scenario("demo").cluster.nodes["decode"].link
NODES = ("a", "b", "c")


class Nodes:
    """A fleet of stand-ins, and its machines.

    dead, silent   nodes whose process has ended, or whose machine is cut off
    said           (who was told, what) of questions other than `pid`
    """

    def __init__(self) -> None:
        self.machines = self
        self.epochs = dict.fromkeys(NODES, 1)
        self.where = {node: f"machine of {node}" for node in NODES}
        self.disks = dict(self.where)
        self.handless: list[str] = []  # machines whose actor is gone
        self.dead: set[str] = set()
        self.silent: set[str] = set()
        self.said: list[tuple[str, str, Any]] = []
        self.ended: list[str] = []
        self.broken: list[tuple[str, str]] = []  # (who, whom it does not know any more)
        self.during: Callable[[str, str], Awaitable[None]] | None = None

    async def ask(self, node: str, question: str, *arguments: Any, timeout_s: float = 0) -> Any:
        if self.during is not None:
            await self.during(node, question)
        if node in self.dead:
            raise PeerDead(f"{node} is gone: its process ended", node=node)
        if node in self.silent:
            raise TimeoutError(f"{node} did not answer within {timeout_s:g} s")
        if question == "pid":
            return 100 * self.epochs[node]
        if question == "knows":
            lacks = [other for one, other in self.broken if one == node]
            return {other: epoch for other, epoch in self.epochs.items() if other not in lacks}
        if question == "listen":
            return Member(node, self.epochs[node], LINK)
        self.said.append((node, question, arguments[0] if arguments else None))
        return None

    async def ask_each(self, nodes: Any, question: str, *arguments: Any) -> dict[str, Any]:
        return {node: await self.ask(node, question, *arguments) for node in nodes}

    async def place(self, node: str, epoch: int) -> None:
        self.epochs[node] = epoch
        self.broken = [pair for pair in self.broken if node not in pair]  # all meet the new one
        self.dead.discard(node)

    def kill(self, node: str) -> None:
        self.ended.append(node)

    def forget(self, machine: str) -> None:
        """See `without_hand`."""

    def without_hand(self) -> list[str]:
        machines, self.handless = self.handless, []
        return machines

    def name_of(self, machine: str) -> str:
        return machine

    def handle(self, machine: str) -> Any:
        return Machine(self, machine)


class Machine:
    """Its one method is called as Ray's actors are."""

    def __init__(self, nodes: Nodes, name: str) -> None:
        self.end_process = self
        self._nodes, self._name = nodes, name

    async def remote(self, pid: int) -> None:
        if any(self._nodes.where[node] == self._name for node in self._nodes.silent):
            raise TimeoutError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "BEAT_EVERY_S", 0.001)
    monkeypatch.setattr(tested, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(returning, "RETRY_S", 0.001)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def minded(job: Callable[[Nodes, Mender, list[str]], Awaitable[None]], restarts: int = 1) -> None:
    async def main() -> None:
        nodes, back = Nodes(), []

        async def came_back(node: str, is_elsewhere: bool) -> None:
            back.append(f"{node} elsewhere" if is_elsewhere else node)

        members = [Member(node, 1, LINK) for node in NODES]
        pids = dict.fromkeys(NODES, 100)
        mender = Mender(nodes, members, pids, restarts, came_back)  # type: ignore[arg-type]
        mender.begin()
        try:
            await job(nodes, mender, back)
        finally:
            mender.end()

    asyncio.run(main())


def test_one_that_dies_is_parted_from_and_comes_back_once() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.dead.add("b")
        await until(lambda: back == ["b"] and not mender.gone)
        assert {(m.node, m.epoch) for m in mender.members} == {("a", 1), ("c", 1), ("b", 2)}
        assert {told for told in nodes.said if told[1] == "part"} >= {
            ("a", "part", "b"),
            ("c", "part", "b"),
        }
        assert nodes.ended == ["b"], "the old process was ended before"
        nodes.dead.add("b")
        await until(lambda: "b" in mender.gone)
        await asyncio.sleep(0.05)
        assert back == ["b"] and mender.num_restarts("b") == 1, "as often as the scenario allows"

    minded(job)


def test_one_that_is_silent_waits_for_its_machine() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.silent.add("c")
        await until(lambda: mender.gone.get("c") == "machine of c does not answer")
        assert back == [] and nodes.epochs["c"] == 1, "nothing new while the old one may run"
        nodes.silent.clear()
        await until(lambda: back == ["c"] and not mender.gone)
        assert nodes.epochs["c"] == 2

    minded(job)


def test_who_is_lost_while_another_comes_back_is_not_taken_for_living() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        async def dies_meanwhile(node: str, question: str) -> None:
            if (node, question) == ("b", "build") and "c" not in mender.gone:
                nodes.silent.add("c")
                await mender.lose("c", "cut off")

        nodes.during = dies_meanwhile
        nodes.dead.add("b")
        await until(lambda: back == ["b"])
        assert {member.node for member in mender.members} == {"a", "b"}
        assert ("b", "part", "c") in nodes.said, "who met it hears that it is gone"
        nodes.silent.clear()
        await until(lambda: back == ["b", "c"] and not mender.gone)
        assert len(mender.members) == 3

    minded(job)


def test_one_that_fails_to_stand_is_tried_again() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        failed: list[str] = []

        async def once(node: str, question: str) -> None:
            if (node, question) == ("b", "build") and not failed:
                failed.append(node)
                raise TimeoutError("its machine is short of memory")

        nodes.during = once
        nodes.dead.add("b")
        await until(lambda: back == ["b"] and not mender.gone)
        assert failed == ["b"] and nodes.epochs["b"] == 3

    minded(job)


def test_of_two_whose_link_broke_one_goes_and_comes_back() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.broken = [("a", "c"), ("c", "a")]
        await until(lambda: len(back) == 1 and not mender.gone)
        assert back[0] in ("a", "c") and not nodes.broken
        await asyncio.sleep(0.05)
        assert len(back) == 1, "one is enough"

    minded(job)


def test_where_nothing_is_restarted_it_stays_gone_until_somebody_asks() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.dead.add("a")
        await until(lambda: "a" in mender.gone)
        await asyncio.sleep(0.05)
        assert back == []
        assert await mender.bring_back("a")
        assert back == ["a"] and not mender.gone

    minded(job, restarts=0)


def test_nodes_of_one_machine_come_back_together() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.where["b"] = nodes.where["c"] = "one machine"
        nodes.silent |= {"b", "c"}
        await until(lambda: set(mender.gone) == {"b", "c"})
        nodes.silent.clear()
        await until(lambda: not mender.gone)
        assert sorted(back) == ["b", "c"] and nodes.epochs == {"a": 1, "b": 2, "c": 2}
        met = [what for node, question, what in nodes.said if (node, question) == ("a", "meet")]
        assert [{member.node for member in each} for each in met] == [{"b", "c"}]

    minded(job)


def test_one_that_never_stands_keeps_nobody_waiting() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        tries: list[float] = []

        async def never(node: str, question: str) -> None:
            if (node, question) == ("b", "build"):
                tries.append(asyncio.get_running_loop().time())
                raise TimeoutError("no memory")

        nodes.during = never
        nodes.dead |= {"b", "c"}
        await until(lambda: back == ["c"] and len(tries) >= 6)
        assert set(mender.gone) == {"b"} and "no memory" in mender.gone["b"]
        pauses = [later - sooner for sooner, later in pairwise(tries)]
        assert all(pause >= 0.001 * 2**n for n, pause in enumerate(pauses)), "each doubles"

    minded(job)


@pytest.mark.parametrize("first_try_fails", [False, True])
def test_one_that_stands_elsewhere_is_told_as_such(first_try_fails: bool) -> None:
    """Also where a first try on the new machine came to nothing, and the second is there again."""

    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        tries: list[str] = []

        async def moves(node: str, question: str) -> None:
            if (node, question) == ("b", "listen"):
                nodes.where["b"] = nodes.disks["b"] = "another machine"
            if (node, question) == ("b", "build"):
                tries.append(node)
                if first_try_fails and len(tries) == 1:
                    raise TimeoutError("no room")

        nodes.during = moves
        nodes.dead.add("b")
        await until(lambda: not mender.gone and bool(back))
        assert back == ["b elsewhere"]
        nodes.dead.add("b")
        await until(lambda: len(back) == 2)
        assert back[1] == "b", "it has the disk that it left"

    minded(job, restarts=2)


def test_where_the_hand_on_a_machine_is_gone_all_its_nodes_come_back_anew() -> None:
    """The folder with their disks goes with it."""

    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        nodes.where["b"] = nodes.where["c"] = "one machine"

        async def forgotten(node: str, question: str) -> None:
            if (node, question) == ("b", "listen") and not nodes.ended.count("c"):
                raise AssertionError("c lives there still")

        nodes.during = forgotten
        nodes.handless = ["one machine"]
        nodes.dead.add("b")
        await until(lambda: sorted(back) == ["b", "c"] and not mender.gone)
        assert nodes.epochs == {"a": 1, "b": 2, "c": 2}

    minded(job)


def test_one_that_did_not_stand_is_parted_from() -> None:
    """All others had met it."""

    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        async def never(node: str, question: str) -> None:
            if (node, question) == ("b", "open"):
                nodes.silent.add("b")
                raise TimeoutError("its machine is cut off")

        nodes.during = never
        nodes.dead.add("b")
        await until(lambda: "does not answer" in mender.gone.get("b", ""))
        told = [question for node, question, what in nodes.said if node == "a" and what != "c"]
        assert told[-1] == "part", "the last that a heard of b"

    minded(job)


def test_one_that_is_lost_while_two_come_back_is_known_to_both() -> None:
    async def job(nodes: Nodes, mender: Mender, back: list[str]) -> None:
        async def dies_meanwhile(node: str, question: str) -> None:
            if (node, question) == ("c", "pid") and "a" not in mender.gone:
                nodes.silent.add("a")
                await mender.lose("a", "cut off")

        nodes.during = dies_meanwhile
        nodes.where["b"] = nodes.where["c"] = "one machine"
        nodes.dead |= {"b", "c"}
        await until(lambda: sorted(back) == ["b", "c"])
        assert ("b", "part", "a") in nodes.said and ("c", "part", "a") in nodes.said

    minded(job)
