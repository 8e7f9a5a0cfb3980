"""Chips that live and say nothing: how soon their streams go on, and what becomes of them."""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.router.test_lost_chips import TWO_EACH, begun_anew, calm, later, mixed, told
from tests.cluster.worlds.cluster import ask, ask_all, blueprint, request, run, settle
from workers.host.clock.virtual import VirtualDeadlock
from workers.host.trace import Delivered, Noted
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

SILENCE_NS = 400_000
WATCHED = {**TWO_EACH, "cluster.silence": f"{SILENCE_NS} ns"}


class _Cut:
    """All that goes to a node, or comes from it, is lost."""

    def __init__(self, node: str) -> None:
        self._node = node

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return Drop() if self._node in (source, destination) else Pass()


def cut_off(world: VirtualWorld, name: str) -> None:
    for node in world.nodes.values():
        node.endpoint.rules["cut"] = _Cut(name)


def heal(world: VirtualWorld) -> None:
    for node in world.nodes.values():
        node.endpoint.rules.clear()


@pytest.mark.parametrize("victim", ["decode-0", "prefill-0"])
@pytest.mark.parametrize("after_ns", [40_000, 150_000, 220_000])
def test_its_streams_go_on_elsewhere_in_time_and_it_is_one_of_the_cluster_again(
    victim: str, after_ns: int
) -> None:
    """Five looks in 400 us: after its last word at least four go by, and at most five. What it had
    is let go as soon as it hears so, and then it is given work again.
    """
    right = calm("apart")

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, mixed(), apart_ns=9_000), "ask")
        await later(world, after_ns)
        cut_off(world, victim)
        cut_ns = world.clock.now()
        state = router_of(world).state
        heard = await asked
        assert told(heard) == right
        moved = [r for r in world.trace.records if isinstance(r, Noted) and r.what == "begun anew"]
        assert moved or (victim, after_ns) == ("prefill-0", 220_000), "all prompts were computed"
        for note in moved[:1]:
            assert note.at_ns - cut_ns <= SILENCE_NS + 20_000, "what was on its way still came"
        assert state.chips[victim].is_silent or not moved
        heal(world)
        again = await ask_all(world, [request(f"again{i}") for i in range(4)])
        assert not any(one.code for one in again)
        await settle(world)
        again = await ask_all(world, [request(f"more{i}") for i in range(4)])
        assert not state.chips[victim].is_silent
        await settle(world)

    run(blueprint(WATCHED), job)


def test_the_only_chip_of_its_kind_is_waited_for() -> None:
    """It is silent for three times as long as it may be; its streams are where they were."""
    right = calm("apart")

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, mixed(), apart_ns=9_000), "ask")
        await later(world, 150_000)
        cut_off(world, "decode-0")
        await later(world, 3 * SILENCE_NS)
        assert router_of(world).state.chips["decode-0"].is_silent
        heal(world)
        heard = await asked
        assert told(heard) == right and begun_anew(world) == 0
        await settle(world)

    run(blueprint({**WATCHED, "cluster.nodes.decode.count": 1}), job)


def test_nobody_is_asked_who_speaks_nor_who_has_nothing_to_do() -> None:
    async def job(world: VirtualWorld) -> None:
        assert not (await ask(world, request("r", max_tokens=64))).code
        await later(world, 10 * SILENCE_NS)
        kinds = [r.kind for r in world.trace.records if isinstance(r, Delivered)]
        assert "chip_state" not in kinds

    run(blueprint(WATCHED), job)


def test_an_idle_watch_hides_no_deadlock() -> None:
    async def job(world: VirtualWorld) -> None:
        await ask(world, request("r"))
        await world.gateway.mailbox().get()

    with pytest.raises(VirtualDeadlock):
        run(blueprint(WATCHED), job)
