"""Who waits for room is placed once there is some, whether or not anybody says so."""

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import (
    ask_all,
    blueprint,
    prompt,
    request,
    run,
    settle,
    workers_of,
)
from workers.chip.chip import Chip

APART = {
    "placement.kv_pool": False,
    "cluster.nodes.decode.count": 1,
    "model.num_kv_blocks": 64,
    "slo.deadline": "100 ms",
}


def test_room_that_comes_unsaid_is_found_by_looking_again() -> None:
    """The chip's blocks are taken behind the router's back, and free again 1 ms later: nothing
    tells it so.
    """

    async def job(world: VirtualWorld) -> None:
        blocks = workers_of(world, Chip)["decode-0"]._scheduler.blocks
        taken = blocks.allocate(blocks.num_free)
        world.clock.call_at(world.clock.now() + 1_000_000, blocks.free, taken)
        begun_ns = world.clock.now()
        (heard,) = await ask_all(world, [request("r", prompt_ids=prompt(0))])
        assert not heard.code and len(heard.tokens) == 8
        assert 1_000_000 < heard.ended_ns - begun_ns < 50_000_000
        await settle(world)

    run(blueprint(APART), job)


def test_a_chip_tells_how_many_blocks_it_holds() -> None:
    """Most of them, too."""

    async def job(world: VirtualWorld) -> None:
        chip = workers_of(world, Chip)["decode-0"]
        blocks = chip._scheduler.blocks
        taken = blocks.allocate(60)
        assert chip.held()["blocks"] == 60
        blocks.free(taken)
        assert chip.held()["blocks"] == 0

    run(blueprint(APART), job)
