"""What a router's own work costs its machine, by hand."""

import pytest

from cluster.retrieval.embedder import make_embedder
from cluster.router.own_work import route_work, tokenise_work
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, request, run, settle, with_cards
from workers.hardware.work import Demand, Work
from workers.host.trace import Ran

NO_POOL = {"placement.kv_pool": False}


def test_text_costs_by_the_byte_and_token_ids_nothing() -> None:
    asked = request("r", prompt="Größe?")  # 8 bytes: two letters take 2 each
    assert tokenise_work(asked, ("ab", "c")) == Work("tokenise", (Demand("scalar", 11 * 400),))
    chat = request("r", messages=({"role": "user", "content": "hi"},))
    assert tokenise_work(chat, ()) == Work("tokenise", (Demand("scalar", 2 * 400),))
    assert tokenise_work(request("r", prompt_ids=(1, 2)), ("ab",)) is None


def test_a_route_costs_by_the_chip() -> None:
    assert route_work(30, 3) == Work("route", (Demand("scalar", 30 * 10 * 3 + 3 * 200),))


def test_an_embedding_costs_by_the_byte_and_the_n_gram() -> None:
    """Three lengths, 3 to 5, and 40 operations each."""
    embedder = make_embedder("hashing")
    assert embedder.work(["abcd", "é"]) == Work("embed", (Demand("scalar", 6 * 3 * 40),))


def runs(world: VirtualWorld) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for record in world.trace.records:
        if isinstance(record, Ran) and record.node == "router":
            found.setdefault(record.work, []).append(record.took_ns)
    return found


def test_a_router_takes_that_time_on_its_machine() -> None:
    """A core of host-cpu does 4 operations a nanosecond."""

    async def job(world: VirtualWorld) -> None:
        question = "What is the price of Rasavan-65?"  # 32 bytes
        heard = await ask(world, request("r", prompt=question, retrieval="cards"))
        took_ns = runs(world)
        assert took_ns["embed"] == [32 * 3 * 40 // 4]
        num_bytes = 32 + sum(len(text.encode()) for text in heard.last.passages)
        assert took_ns["tokenise"] == [num_bytes * 400 // 4]
        num_chips = 3
        route = heard.last.num_prompt_tokens * 10 * num_chips + 200 * num_chips
        assert took_ns["route"] == [pytest.approx(route / 4, abs=1)]
        spent_ns = took_ns["tokenise"][0] + took_ns["route"][0]
        assert heard.last.times["preparation"] == spent_ns
        await settle(world)

    run(with_cards(NO_POOL), job)


def test_two_at_once_take_two_cores_and_no_longer() -> None:
    async def job(world: VirtualWorld) -> None:
        tasks = [
            world.gateway.spawn(ask(world, request(f"r{i}", prompt="x" * 40)), f"r{i}")
            for i in range(2)
        ]
        for task in tasks:
            assert not (await task).code
        assert runs(world)["tokenise"] == [4_000, 4_000]

    run(blueprint(NO_POOL), job)


def test_a_request_that_leaves_while_its_prompt_is_prepared_leaves_nothing() -> None:
    async def job(world: VirtualWorld) -> None:
        task = world.gateway.spawn(ask(world, request("r", prompt="x" * 400)), "r")
        await world.clock.wait_until(world.clock.now() + 20_000)
        task.cancel()
        await settle(world)

    run(blueprint(NO_POOL), job)
