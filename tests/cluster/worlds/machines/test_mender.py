"""Who is gone, and who comes back."""

import asyncio

from cluster.worlds.machines.mender import Mender
from tests.cluster.worlds.machines.minded import Nodes, minded, until


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
