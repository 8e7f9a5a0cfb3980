"""A chip that holds something for a request that left is told until it has heard, and each time in
vain stands in the trace.
"""

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.router.outage import router_of
from tests.cluster.worlds.cluster import Heard, ask, blueprint, request, run, settle
from workers.host.trace import Noted
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict

CHIPS = ("prefill-0", "decode-0", "decode-1")


class NoAbort:
    """Drops every abort while it is deaf."""

    is_deaf = True

    def judge(self, source: str, destination: str, message: Message) -> Verdict:
        return Drop() if self.is_deaf and message.kind == "abort" else Pass()


def failures(world: VirtualWorld) -> list[Noted]:
    noted = (record for record in world.trace.records if isinstance(record, Noted))
    return [each for each in noted if each.what == "abort failed"]


async def aborted_in_vain(world: VirtualWorld, rule: NoAbort) -> None:
    """A request in decode is cancelled while no chip can hear it."""
    task = world.gateway.spawn(ask(world, request("r", max_tokens=200), Heard()), "ask")
    await world.clock.wait_until(world.clock.now() + 150_000)
    for name in CHIPS:
        world.nodes["router"].endpoint.rules[name] = rule
    task.cancel()


@pytest.mark.parametrize("num_calls", [1, 3])
def test_an_abort_is_told_again_until_it_is_heard(num_calls: int) -> None:
    """A call is given up after its timeout; with chips deaf for n and a half of those, n fail."""

    async def job(world: VirtualWorld) -> None:
        rule = NoAbort()
        await aborted_in_vain(world, rule)
        timeout_ns = world.blueprint.timeout_ns
        await world.clock.wait_until(world.clock.now() + (2 * num_calls + 1) * timeout_ns // 2)
        aborts = router_of(world).state.aborts
        (chip,) = (name for name, sequences in aborts.items() if sequences)
        assert [(each.subject, each.request_id) for each in failures(world)] == [
            (chip, "r")
        ] * num_calls
        rule.is_deaf = False
        await settle(world)
        assert not any(router_of(world).state.aborts.values())

    run(blueprint({"placement.kv_pool": False}), job)


def test_an_abort_for_a_chip_that_died_is_told_to_nobody() -> None:
    """It holds nothing any more: the router does not go on calling."""

    async def job(world: VirtualWorld) -> None:
        await aborted_in_vain(world, NoAbort())
        await world.clock.wait_until(world.clock.now() + 10_000)
        (chip,) = (name for name, waiting in router_of(world).state.aborts.items() if waiting)
        node = world.blueprint.plan.directory[chip]
        await world.kill(node)
        await settle(world, dead=(node,))
        assert not router_of(world).state.aborts.get(chip)
        count = len(failures(world))
        await world.clock.wait_until(world.clock.now() + 3 * world.blueprint.timeout_ns)
        assert len(failures(world)) == count <= 1

    run(blueprint({"placement.kv_pool": False}), job)
