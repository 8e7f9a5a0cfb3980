"""The flash file behind a tier of a node: a KV pool in it, in a cluster that is asked questions.

Expected before the first run: the same tokens as with a pool in memory, since a block is served as
it was put or not at all. After kill -9 of the memory server every block that was acknowledged is
there, and a prefill chip that starts with an empty cache fetches its prompts from it. Of bits that
are flipped in the file none is served: the block is missing, or the bit lay outside of all blocks.
"""

from dataclasses import replace
from time import perf_counter

import numpy as np

from benchmarks.rows import Row
from benchmarks.runs import EMULATION_OFF, questions, run_in_virtual
from cluster.reports.flash_file import file_wear_figures
from cluster.workload.build import Workload
from cluster.workload.requests import TimedRequest
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import local_world
from configs.schema import load_scenario
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.memory.flash_pool import FlashPool

NUM_QUESTIONS, NUM_AGAIN, NUM_LIVE, NUM_FLIPS, SEED = 500, 25, 32, 2_000, 5
SERVER, CHIP = "hbf-0", "prefill-0"
IN_MEMORY: dict[str, object] = {
    "cluster.nodes.pnm": None,
    "cluster.nodes.hbf.device": "ocp-hbf-grade1",
    "model.num_kv_blocks": 64,  # so few that a chip itself soon has nothing of what was asked
}
# 240 KV blocks of 17 pages: the questions bring more, so that blocks go and are erased.
SMALL = {"capacity": "16 MiB", "pages_per_block": 32, "spare_blocks": 8}
NAME, FLIPPED = "flash", FlashGeometry(num_blocks=10, spare_blocks=3, pages_per_block=8)
NUM_BLOCKS, VALUES = 16, 3_000  # of 12,000 B: 3 pages of 4 KiB


def in_file(**file: object) -> dict[str, object]:
    device = {"base": "ocp-hbf-grade1", "tiers": {"hbf": {"file": file}}}
    return {**IN_MEMORY, "cluster.nodes.hbf.device": device, "cluster.nodes.hbf.tiers.pool": "hbf"}


def drawn(num_requests: int, *changes: dict[str, object]) -> Blueprint:
    merged: dict[str, object] = {"workload.arrivals.closed.num_requests": num_requests}
    for one in changes:
        merged |= one
    return Blueprint.draw(load_scenario("demo", merged))


def asked_twice(workload: Workload) -> Workload:
    """So many questions after the other, then the same again, when a chip has them no more."""
    asked: list[TimedRequest] = []
    for first in range(0, len(workload.requests), NUM_AGAIN):
        some = replace(workload, requests=workload.requests[first : first + NUM_AGAIN])
        asked += [*some.requests, *renamed(some, "-again").requests]
    return replace(workload, requests=asked)


def token_rows(count: int = NUM_QUESTIONS) -> list[Row]:
    """Both in the virtual world: what differs is where the pool lies."""
    blueprints = [drawn(count, where) for where in (in_file(**SMALL), IN_MEMORY)]
    one, other = (
        run_in_virtual(b, asked_twice(questions(b, count)), "questions") for b in blueprints
    )
    pairs = list(zip(one.answers, other.answers, strict=True))
    differ = sum(a.token_ids != b.token_ids or not a.token_ids for a, b in pairs)
    wear = file_wear_figures(blueprints[0].plan, one.flash_wear)["hbf-0.hbf"]
    amplified = wear["write_amplification"] or 0.0
    return [
        Row(
            f"answers that differ, {count} questions asked twice, pool in the file or in memory",
            differ,
            "",
            "0",
            not differ and (wear["num_hits"] or 0) > count,
            f"measured: virtual, {sum(len(a.token_ids) for a in one.answers):,} tokens, "
            f"{wear['num_hits']:,} blocks served from the file",
        ),
        Row(
            "bytes that the file programmed for each byte that the pool wrote",
            amplified,
            "",
            ">= 1, erases > 0",
            amplified >= 1 and (wear["erases_max"] or 0) > 0,
            f"measured: {wear['programmed_bytes']:,} B, erases {wear['erases_min']} / "
            f"{wear['erases_mean']:.1f} / {wear['erases_max']} of {wear['num_blocks']} blocks; the "
            f"tier lasts {wear['tier_life_years']:.3g} years at this rate, the file "
            f"{wear['file_life_years']:.3g}",
        ),
    ]


def renamed(workload: Workload, suffix: str) -> Workload:
    """The same requests again, under names of their own."""
    again = [
        replace(timed, request=replace(timed.request, request_id=timed.request.request_id + suffix))
        for timed in workload.requests
    ]
    return replace(workload, requests=again)


def kill_rows(count: int = NUM_LIVE) -> list[Row]:
    """The memory server's process, then the prefill chip's, so that it has nothing cached."""
    begun_s = perf_counter()
    blueprint = drawn(count, in_file(capacity="64 MiB"), dict(EMULATION_OFF))
    workload = questions(blueprint, count)
    with local_world(blueprint) as world:
        first = world.run(workload, lambda _: None)
        held = world.ask(SERVER, "flash_wear")["hbf"]
        for node in (SERVER, CHIP):
            world.kill(node)
            world.revive(node)
        again = world.run(renamed(workload, "-again"), lambda _: None)
        wear = world.ask(SERVER, "flash_wear")["hbf"]
    differ = sum(
        a.token_ids != b.token_ids or not b.token_ids for a, b in zip(first, again, strict=True)
    )
    how = (
        f"local, kill -9 of memory server and prefill chip, {held.num_hits} hits before; "
        f"{perf_counter() - begun_s:.0f} s"
    )
    return [
        Row(
            "KV blocks that the pool serves after kill -9 of the memory server",
            wear.num_hits,
            "",
            f"> {count}, all found in the file",
            wear.num_hits > count and wear.num_found > 0,
            f"measured: {how}; {wear.num_found} found when it returned",
        ),
        Row(
            "answers that differ after that",
            differ,
            "",
            "0",
            not differ and len(again) == count,
            f"measured: {len(again)} questions",
        ),
    ]


def block_of(value: int) -> np.ndarray:
    return np.arange(VALUES, dtype=np.float32) + np.float32(10_000 * value)


def flip_row(count: int = NUM_FLIPS) -> Row:
    """One at a time, each in a file that is whole: all blocks read, and again by a restart."""
    rng, keys = np.random.default_rng(SEED), [v.to_bytes(16, "big") for v in range(NUM_BLOCKS)]
    disk = MemoryDisk()
    pool = FlashPool(open_flash(disk, NAME, FLIPPED, Rng(0)), 1 << 30)
    pool.put(keys, [block_of(v) for v in range(NUM_BLOCKS)])
    whole, served, missed, begun_s = disk.read(NAME), 0, 0, perf_counter()
    for _ in range(count):
        at, bit = int(rng.integers(len(whole))), 1 << int(rng.integers(8))
        harmed = MemoryDisk()
        harmed.allocate(NAME, len(whole))
        harmed.write_at(NAME, 0, whole)
        harmed.write_at(NAME, at, bytes([whole[at] ^ bit]))
        pool = FlashPool(open_flash(harmed, NAME, FLIPPED, Rng(0)), 1 << 30)
        for value, key in enumerate(keys):
            for block in pool.leading([key]).blocks:
                served += not np.array_equal(block, block_of(value))
        missed += NUM_BLOCKS - pool.num_blocks
    return Row(
        f"KV blocks served with a flipped bit, {count:,} bits of a pool's file",
        served,
        "",
        "0",
        not served and missed > 0,
        f"measured: {len(whole):,} B, {NUM_BLOCKS} blocks; {missed} times a block was missing "
        f"instead; {perf_counter() - begun_s:.0f} s",
    )


def run() -> list[Row]:
    return [*token_rows(), *kill_rows(), flip_row()]
