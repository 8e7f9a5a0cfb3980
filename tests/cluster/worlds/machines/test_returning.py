"""Who comes back with whom, how often it is tried, and what is told of it."""

import asyncio
from itertools import pairwise

import pytest

from cluster.worlds.machines.mender import Mender
from tests.cluster.worlds.machines.minded import Nodes, minded, until


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
