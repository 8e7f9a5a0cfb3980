"""Every node restarts while requests come: none fails, and no token is another."""

from typing import Any

import pytest

from cluster.router.router import Router
from cluster.worlds.rolling import restart_each, to_restart
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    Heard,
    ask,
    prompt,
    request,
    run,
    settle,
    with_cards,
    workers_of,
)

WHOLE: dict[str, Any] = {
    "cluster.nodes.prefill.count": 2,
    "cluster.nodes.decode.count": 2,
    "cluster.nodes.experts.count": 2,
    "cluster.nodes.experts.spares": 1,
}
ALONE: dict[str, Any] = {"cluster.router_journal": False}
EVERY_NS = 150_000
PROMPTS = 6


def wanted(number: int) -> Any:
    """Every fourth asks for passages; sampled, so that a sequence that began otherwise shows."""
    which = number % PROMPTS
    if which % 4 == 3:
        asked: dict[str, Any] = {"prompt": "What is the price of Rasavan-65?", "retrieval": "cards"}
    else:
        asked = {"prompt_ids": prompt(which)}
    return request(f"r{number}", seed=which, temperature=1.0, max_tokens=24, **asked)


@pytest.mark.parametrize(
    ("changes", "stay"),
    [(WHOLE, {"gateway"}), (ALONE, {"gateway", "router"})],
    ids=["siblings", "one of each"],
)
def test_every_node_restarts_under_load_and_no_request_fails(
    changes: dict[str, Any], stay: set[str]
) -> None:
    async def job(world: VirtualWorld) -> None:
        right = [(await ask(world, wanted(number))).tokens for number in range(PROMPTS)]
        heard: list[tuple[int, Heard]] = []
        steps: list[str] = []
        going = [True]

        async def one(number: int) -> None:
            heard.append((number, await ask(world, wanted(number))))

        async def load() -> None:
            tasks, number = [], PROMPTS
            while going:
                tasks.append(world.gateway.spawn(one(number), f"ask {number}"))
                number += 1
                await world.clock.wait_until(world.clock.now() + EVERY_NS)
            for task in tasks:
                await task

        loading = world.gateway.spawn(load(), "load")
        await world.clock.wait_until(world.clock.now() + 10 * EVERY_NS)
        await restart_each(world, steps.append)
        await world.clock.wait_until(world.clock.now() + 10 * EVERY_NS)
        going.clear()
        await loading
        assert steps == [f"restarting {node}" for node in to_restart(world.blueprint)]
        epochs = {name: node.epoch for name, node in world.nodes.items()}
        again = to_restart(world.blueprint)
        assert epochs == {name: 2 if name in again else 1 for name in epochs}
        assert set(epochs) - {*again} == stay
        assert len(heard) > 20 and [one.code for _, one in heard] == [""] * len(heard)
        assert all(one.tokens == right[number % PROMPTS] for number, one in heard)
        (router,) = workers_of(world, Router).values()
        assert not any(chip.is_draining for chip in router.state.chips.values())
        await settle(world)

    run(with_cards(changes), job)
