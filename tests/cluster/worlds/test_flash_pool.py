"""A cluster whose KV pool lies in a file behind the flash of its memory server."""

from collections.abc import Sequence

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
from workers.flash.geometry import geometry_of
from workers.memory.flash_pool import FlashPool
from workers.memory.memory_server import MemoryServer

FILE = "memory-0.flash/hbf"
DDR = {"cluster.nodes.pnm": None, "cluster.nodes.hbf.device": "ocp-hbf-grade1"}


def in_flash(capacity: str = "4 MiB", **more: object) -> dict[str, object]:
    file = {"capacity": capacity, **more}
    device = {"base": "ocp-hbf-grade1", "tiers": {"hbf": {"file": file}}}
    return {**DDR, "cluster.nodes.hbf.device": device, "cluster.nodes.hbf.tiers.pool": "hbf"}


def pool_of(world: VirtualWorld) -> FlashPool:
    """Of the incarnation that lives."""
    servers = workers_of(world, MemoryServer)
    pool = servers["memory-0"].pool
    assert isinstance(pool, FlashPool)
    return pool


async def tokens(world: VirtualWorld, name: str, numbers: Sequence[int]) -> list[list[int]]:
    """Of prompts that a chip no longer has itself, so that what is cached is in the pool alone."""
    for chip in workers_of(world, Chip).values():
        chip._scheduler.blocks.invalidate(range(256))
    wanted = [request(f"{name}{n}", prompt_ids=prompt(n, 100)) for n in numbers]
    heard = await ask_all(world, wanted, apart_ns=20_000)
    assert not any(one.code for one in heard)
    await settle(world)
    return [one.tokens for one in heard]


def test_tokens_are_those_of_a_pool_in_memory() -> None:
    async def job(world: VirtualWorld) -> list[list[int]]:
        first = await tokens(world, "a", range(8))
        assert await tokens(world, "b", range(8)) == first
        return first

    assert run(blueprint(in_flash()), job) == run(blueprint(DDR), job)


def test_the_pool_is_there_when_its_node_returns() -> None:
    """Each of 8 prompts of 100 tokens has 6 full blocks; what they have in common is one block."""

    async def job(world: VirtualWorld) -> None:
        first = await tokens(world, "a", range(8))
        before = pool_of(world)
        assert before.num_blocks > 40
        erases = before.flash.erases
        await world.kill("hbf-0")
        await world.revive("hbf-0")
        pool = pool_of(world)
        assert pool is not before
        assert set(pool._store) == set(before._store)
        assert pool.flash.erases == erases
        assert await tokens(world, "b", range(8)) == first
        assert pool.statistics.num_hits >= 40
        assert pool.statistics.num_new == 0, "nobody computed what was there"

    run(blueprint(in_flash()), job)


def test_damaged_pages_are_computed_anew_and_tokens_stay() -> None:
    """A bit of each 5th page is flipped while the node is away: most blocks have 17 pages, so no
    block is whole that has one of them.
    """

    async def job(world: VirtualWorld) -> None:
        first = await tokens(world, "a", range(8))
        geometry = geometry_of(world.nodes["hbf-0"].hardware.spec.tiers["hbf"])
        await world.kill("hbf-0")
        disk = world.host.disk("hbf-0")
        for page in range(0, geometry.num_physical, 5):
            at = geometry.page_offset(page) + 700
            disk.write_at(FILE, at, bytes([disk.read_at(FILE, at, 1)[0] ^ 4]))
        disk.sync(FILE)
        await world.revive("hbf-0")
        pool = pool_of(world)
        assert pool.num_damaged > 100
        assert pool.num_blocks == 0
        assert await tokens(world, "b", range(8)) == first
        assert pool.statistics.num_hits == 0

    run(blueprint(in_flash()), job)


def test_a_full_file_evicts_and_its_blocks_wear() -> None:
    """16 blocks of 65,536 B and a little fit; 32 prompts bring ten times as many."""

    async def job(world: VirtualWorld) -> tuple[list[list[int]], int]:
        found = await tokens(world, "a", range(32))
        pool = pool_of(world)
        pool.check_integrity()
        assert pool.statistics.num_evicted > 100
        assert min(pool.flash.erases) > 0
        assert pool.flash.num_programmed > pool.statistics.num_new * 17
        again = await tokens(world, "b", range(32))
        assert again == found
        return found, world.clock.now()

    small, _ = run(blueprint(in_flash("1088 KiB", pages_per_block=16, spare_blocks=3)), job)
    large, _ = run(blueprint(DDR), _plain)
    assert small == large


async def _plain(world: VirtualWorld) -> tuple[list[list[int]], int]:
    return await tokens(world, "a", range(32)), world.clock.now()
