"""Chips whose ranks hold slices of the same keys: messages and times by hand."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_slices import latent, served, split
from tests.cluster.worlds.cluster import ask_all, blueprint, prompt, request, run, settle
from workers.host.trace import Delivered, Ran


def test_links_are_charged_alike_in_all_numerics() -> None:
    """But for dispatches, as other experts are chosen."""
    real, digest, counts = (
        served(split(8, 2, numerics=numerics))[1] for numerics in ("real", "digest", "counts")
    )
    assert real["piece"] == digest["piece"] == counts["piece"] > 0
    assert real["piece bytes"] == digest["piece bytes"] == counts["piece bytes"]


def steps(changes: Mapping[str, object], length: int) -> tuple[list[Any], list[Any]]:
    """Launches and pieces of the last token of one request that is alone."""

    async def job(world: VirtualWorld) -> tuple[list[Any], list[Any]]:
        heard = await ask_all(world, [request("r", prompt_ids=prompt(0, length), max_tokens=2)])
        assert not heard[0].code
        await settle(world)
        records = world.trace.records
        ran = [one for one in records if isinstance(one, Ran)]
        last = [i for i, one in enumerate(ran) if one.work == "queries" and one.node == "chip-0"]
        begin_ns = ran[last[-3]].at_ns - ran[last[-3]].took_ns
        pieces = [r for r in records if isinstance(r, Delivered) and r.kind == "piece"]
        return (
            [one for one in ran if one.at_ns > begin_ns],
            [one for one in pieces if one.at_ns > begin_ns],
        )

    return run(blueprint(changes), job)


def test_times_and_bytes_by_hand(tmp_path: Path) -> None:
    """Three layers of a decode step after 200 tokens on 4 ranks of 32 of 128 heads, each with 16
    tokens of every 64. Queries are 576 wide, what is found 512 and one log-sum-exp, all in fp32;
    of the latent 576 numbers are kept, in bf16.
    """
    changes = {**split(4, 4, block_size=64), **latent(tmp_path)}
    node = blueprint(changes).plan.node("chip-0")
    link, device = node.link, node.device
    ran, pieces = steps(changes, 200)
    own = [one for one in ran if one.node == "chip-0"]
    names = [one.work for one in own if one.work in ("queries", "attention", "values")]
    assert names == ["queries", "attention", "values"] * 3

    head = 64 + len("chip-0 slices 0") + 8 + 4
    query, found = 32 * 576 * 4 + head, 32 * 513 * 4 + head
    sizes = Counter(one.num_bytes for one in pieces)
    assert sizes[query] == sizes[found] == 3 * 4 * 3, "of each rank to three others, three layers"

    # On an idle network three equal messages leave one after another. The leader is
    # ahead of the others in the first layer, by its order, and in the last, by what experts told
    # it: so of the second, which follows a sum over all ranks.
    byte_ns = 1e9 / link.bytes_per_s
    for before, after, size in (("queries", "attention", query), ("attention", "values", found)):
        first = [i for i, one in enumerate(own) if one.work == before][1]
        assert own[first + 1].work == after
        took_ns = own[first + 1].at_ns - own[first + 1].took_ns - own[first].at_ns
        by_hand_ns = link.startup_ns + link.latency_ns + 3 * size * byte_ns
        assert took_ns == pytest.approx(by_hand_ns, rel=0.01)

    # Of 201 tokens rank 0 has 3 x 16 and 9 more; the others 48 each. A launch waits for its bytes.
    tier = device.tiers["hbm"]
    byte_ns = 1e9 / (tier.read_bytes_per_s * tier.efficiency)
    for rank, here in (("chip-0", 57), ("chip-0-rank-1", 48), ("chip-0-rank-3", 48)):
        attention = next(one for one in ran if one.node == rank and one.work == "attention")
        reading_ns = attention.took_ns - device.launch_overhead_ns - tier.read_latency_ns
        assert reading_ns == pytest.approx(here * 576 * 2 * byte_ns, abs=1)
