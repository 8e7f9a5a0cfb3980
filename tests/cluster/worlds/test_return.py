"""Each kind of node dies without a word and comes back as its next incarnation: what the dead one
said reaches nobody, and the cluster computes what it always would.
"""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import Heard, ask_all, prompt, request, run, settle, with_cards
from workers.wire.incoming import Incoming
from workers.wire.message import Message
from workers.wire.peer import Peer

# hbf-0 and pnm-0 hold the collection's two parts and the pool of KV.
NODES = ("router", "gateway", "prefill-0", "decode-0", "experts-1", "hbf-0", "pnm-0")


def wanted(run_name: str) -> list[Any]:
    plain = [request(f"{run_name}{i}", prompt_ids=prompt(i), max_tokens=16) for i in range(5)]
    question = {"prompt": "What is the price of Rasavan-65?", "retrieval": "cards"}
    return [*plain, request(f"{run_name}q", max_tokens=12, **question)]


def tokens(heard: list[Heard]) -> list[list[int]]:
    return [one.tokens for one in heard]


def calm() -> list[list[int]]:
    async def job(world: VirtualWorld) -> list[list[int]]:
        heard = await ask_all(world, wanted("r"), apart_ns=9_000)
        assert not any(one.code for one in heard)
        return tokens(heard)

    return run(with_cards(), job)


@pytest.fixture(scope="module")
def undisturbed() -> list[list[int]]:
    return calm()


@pytest.mark.parametrize("victim", NODES)
@pytest.mark.parametrize("at_ns", [30_000, 170_000])
def test_a_node_that_returns_is_one_of_the_cluster_again(
    victim: str, at_ns: int, undisturbed: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(world: VirtualWorld) -> None:
        _only_the_living_are_heard(world, monkeypatch)
        for epoch in (2, 3):
            asked = world.gateway.spawn(ask_all(world, wanted(f"{epoch}-")), "ask")
            await world.clock.wait_until(world.clock.now() + at_ns)
            await world.kill(victim)
            await world.clock.wait_until(world.clock.now() + 40_000)
            await world.revive(victim)
            assert world.nodes[victim].epoch == epoch
            if victim != "gateway":
                heard = await asked
                assert {one.code for one in heard} <= {"", "peer_dead"}
                for one, right in zip(heard, undisturbed, strict=True):
                    assert one.code or one.tokens == right
                    assert one.tokens == right[: len(one.tokens)]
            await settle(world)
            after = await ask_all(world, wanted(f"after-{epoch}-"), apart_ns=9_000)
            assert [one.code for one in after] == [""] * len(after)
            assert tokens(after) == undisturbed
            await settle(world)

    run(with_cards(), job)


def test_the_router_s_streams_go_on_over_its_return(undisturbed: list[list[int]]) -> None:
    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, wanted("r")), "ask")
        for _ in range(2):
            await world.clock.wait_until(world.clock.now() + 170_000)
            await world.kill("router")
            await world.clock.wait_until(world.clock.now() + 40_000)
            await world.revive("router")
        heard = await asked
        assert [one.code for one in heard] == [""] * len(heard)
        assert tokens(heard) == undisturbed
        await settle(world)

    run(with_cards(), job)


def test_a_router_that_stays_away_ends_its_streams_clearly() -> None:
    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, wanted("r")), "ask")
        await world.clock.wait_until(world.clock.now() + 170_000)
        gone_ns = world.clock.now()
        await world.kill("router")
        for one in await asked:
            assert one.code == "peer_dead" and "the router on router is gone" in str(one.error)
            assert one.ended_ns == gone_ns + world.blueprint.timeout_ns

    run(with_cards(), job)


@pytest.mark.parametrize("journal", [True, False])
@pytest.mark.parametrize("dead", ["decode-0", "prefill-0"])
def test_a_router_returns_while_a_chip_is_away(dead: str, journal: bool) -> None:
    async def job(world: VirtualWorld) -> None:
        await world.kill(dead)
        await world.kill("router")
        await world.revive("router")
        wanted = [request(f"r{i}", prompt_ids=prompt(i), max_tokens=4) for i in range(4)]
        heard = await ask_all(world, wanted)
        served = "" if dead == "decode-0" else "peer_dead"  # there is one chip for prefill
        assert [one.code for one in heard] == [served] * 4
        await world.revive(dead)
        wanted = [request(f"s{i}", prompt_ids=prompt(i), max_tokens=4) for i in range(4)]
        assert [one.code for one in await ask_all(world, wanted)] == [""] * 4
        await settle(world)

    run(with_cards({"cluster.router_journal": journal}), job)


@pytest.mark.parametrize("at_ns", range(5_000, 60_000, 4_000))
def test_chips_let_go_of_what_a_router_without_a_journal_had_asked_for(at_ns: int) -> None:
    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(ask_all(world, wanted("r")), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        await world.kill("router")
        await world.clock.wait_until(world.clock.now() + 40_000)
        await world.revive("router")
        assert {one.code for one in await asked} == {"peer_dead"}
        await settle(world)

    run(with_cards({"cluster.router_journal": False}), job)


def _only_the_living_are_heard(world: VirtualWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    called = Incoming.called

    def check(self: Incoming, peer: Peer, message: Message[Any]) -> None:
        living = {member.node: member.epoch for member in world.members}
        if peer.node in living or peer.node in world.seats:
            assert living.get(peer.node) == peer.epoch, f"{peer.node}/{peer.epoch} is dead"
        called(self, peer, message)

    monkeypatch.setattr(Incoming, "called", check)
