"""Who waits for a silent machine holds up nobody who does not need it."""

from typing import Any

import pytest

from cluster.gateway.store_client import Document
from cluster.router.waiting import WAITING_MAX
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import ask, blueprint, prompt, request, run, settle
from workers.errors import DeadlineExceeded, QueueFull
from workers.wire.message import Message
from workers.wire.peer import CREDITS_PER_PEER
from workers.wire.rules import Drop, Pass, Verdict

MANY = CREDITS_PER_PEER + 50
SHORT_NS = 10_000_000
ROOM = {
    "model.num_kv_blocks": 4096, "slo.deadline": f"{SHORT_NS} ns", "slo.admission.max_queue": 4096,
}  # fmt: skip


class _Silent:
    """Whatever goes to one node is lost."""

    def __init__(self, node: str) -> None:
        self._node = node

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return Drop() if destination == self._node else Pass()


def silence(world: VirtualWorld, node: str) -> None:
    for each in world.nodes.values():
        each.endpoint.rules[f"silent {node}"] = _Silent(node)


def heal(world: VirtualWorld) -> None:
    for each in world.nodes.values():
        each.endpoint.rules.clear()


async def alone_ns(world: VirtualWorld) -> int:
    begun_ns = world.clock.now()
    assert not (await ask(world, request("alone", prompt_ids=prompt(9)))).code
    return world.clock.now() - begun_ns


def test_requests_that_wait_for_a_memory_server_hold_up_no_others() -> None:
    """1,074 requests wait for passages that never come, more than the gateway has credits of the
    router. One that needs none takes as long as alone, within 5 %.
    """

    async def job(world: VirtualWorld) -> None:
        store = await world.client.create_store("s")
        await world.client.add_documents(store.store_id, [Document("f", "f.txt", "A card.")])
        usual_ns = await alone_ns(world)
        silence(world, "hbf-0")
        waiting = [
            world.gateway.spawn(
                ask(world, request(f"w{i}", prompt="card?", retrieval=store.store_id)), f"w{i}"
            )
            for i in range(MANY)
        ]
        await world.clock.wait_until(world.clock.now() + 200_000)
        begun_ns = world.clock.now()
        other = await ask(world, request("other", prompt_ids=prompt(8)))
        assert not other.code and len(other.tokens) == 8
        assert world.clock.now() - begun_ns < 1.05 * usual_ns
        assert {(await one).code for one in waiting} == {"deadline_exceeded"}
        assert world.clock.now() - begun_ns < SHORT_NS
        await settle(world)

    run(blueprint({**ROOM, "placement.kv_pool": False}), job)


def test_prompts_that_wait_for_a_silent_pool_hold_up_no_call_to_their_chip() -> None:
    """Prefills are taken at once, so that aborts of them are heard at once too: 4 us there and
    back, beside a quarter of a call's time, 0.6 ms, for which the chip waits for its pool.
    """

    async def job(world: VirtualWorld) -> None:
        silence(world, "hbf-0")
        silence(world, "pnm-0")
        waiting = [
            world.gateway.spawn(ask(world, request(f"w{i}", prompt_ids=prompt(i))), f"w{i}")
            for i in range(MANY)
        ]
        await world.clock.wait_until(world.clock.now() + 300_000)
        for one in waiting:
            one.cancel()
        await world.clock.wait_until(world.clock.now() + 150_000)
        state = (await world.client.held_everywhere()).items()
        assert not {key: value for key, value in state if value and key != "chip_blocks"}
        await settle(world)

    run(blueprint({**ROOM, "cluster.nodes.prefill.count": 1}), job)


def test_calls_about_stores_are_bounded_by_a_refusal() -> None:
    """256 additions wait for a silent server; the next one is refused, and a request passes."""

    async def job(world: VirtualWorld) -> None:
        client = world.client
        store = await client.create_store("s")
        silence(world, "hbf-0")
        silence(world, "pnm-0")

        async def add(number: int) -> str:
            document = Document(f"f{number}", "f.txt", f"Card {number}.")
            try:
                await client.add_documents(store.store_id, [document])
            except (DeadlineExceeded, QueueFull) as error:
                return error.code
            return ""

        adding = [world.gateway.spawn(add(i), f"add {i}") for i in range(WAITING_MAX + 3)]
        await world.clock.wait_until(world.clock.now() + 200_000)
        assert not (await ask(world, request("other"))).code
        codes = [await one for one in adding]
        assert codes.count("queue_full") == 3
        assert codes.count("deadline_exceeded") == WAITING_MAX
        heal(world)
        await world.clock.wait_until(world.clock.now() + 2 * SHORT_NS)
        told = await client.add_documents(store.store_id, [Document("f0", "f", "A card.")])
        assert (told.num_files, told.num_passages) == (1, 1)
        await settle(world)

    run(blueprint({**ROOM, "placement.kv_pool": False}), job)


@pytest.mark.parametrize("server", ["hbf-0", "pnm-0"])
def test_health_is_known_while_a_memory_server_is_silent(server: str) -> None:
    async def job(world: VirtualWorld) -> None:
        silence(world, server)
        begun_ns = world.clock.now()
        assert (await world.client.state()).ready
        assert world.clock.now() - begun_ns < 20_000

    run(blueprint({**ROOM, "placement.kv_pool": False}), job)
