"""KV handed over where ranks hold slices of the same keys: what is lost or damaged, and deaths."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import answers, check_cut_short, of_digests, tokens
from tests.cluster.worlds.chips_of_ranks import expected as one_process
from tests.cluster.worlds.chips_of_slices import SIZES, apart, expected, group, served
from tests.cluster.worlds.cluster import blueprint, run, settle
from workers.host.trace import Delivered
from workers.model.digest.slices import DigestSlice
from workers.parallel.rank import Rank


def test_a_slice_that_is_not_written_changes_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DigestSlice.write_part

    def write(self: DigestSlice, ids: tuple[int, ...], part: Any, blocks: Any) -> None:
        if self._slice.number == 0:
            right(self, ids, part, blocks)

    changes = apart(group(1), group(8, 2))
    assert served(changes)[0] == expected(8)
    monkeypatch.setattr(DigestSlice, "write_part", write)
    assert served(changes)[0] != expected(8)


@pytest.mark.parametrize("numerics", ["real", "digest"])
def test_a_slice_that_came_damaged_is_computed_there(
    numerics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a rank of the decode chip, behind the frame's own checksum."""
    right, seen = Rank._kv_part, [0]

    async def part(self: Rank, message: Any) -> None:
        seen[0] += 1
        if seen[0] % 5 == 2:
            blocks = message.content.blocks.copy()
            blocks.reshape(-1)[-1] += 1
            message = replace(message, content=replace(message.content, blocks=blocks))
        await right(self, message)

    monkeypatch.setattr(Rank, "_kv_part", part)
    found, kinds = served(apart(group(2), group(8, 2, block_size=32), numerics))
    assert found == (one_process()[: len(SIZES)] if numerics == "real" else expected(16))
    assert kinds["kv recomputed"]


@pytest.mark.parametrize("kind", ["kv_part", "kv_send"])
def test_what_is_lost_is_sent_again_and_no_token_differs(kind: str) -> None:
    faults = [
        {"type": "drop", "kind": kind, "toxicity": 0.1},
        {"type": "duplicate", "kind": kind, "toxicity": 0.2, "attributes": {"delay": "9 us"}},
        {"type": "reorder", "kind": kind, "toxicity": 0.3, "attributes": {"delay": "30 us"}},
        {"type": "corrupt", "kind": kind, "toxicity": 0.05},
    ]
    changes = {**apart(group(8, 2), group(8, 2, 2)), "faults": faults, "slo.deadline": "1 s"}
    assert served(changes)[0] == expected(8)


@pytest.mark.parametrize("victim", ["decode-0", "decode-0-rank-3", "prefill-0-rank-5"])
@pytest.mark.parametrize("after", [1, 9])
def test_a_rank_that_dies_in_the_middle_of_a_handover(victim: str, after: int) -> None:
    """Its chip's requests end in time, after right tokens alone, or are begun anew elsewhere; and
    all are right when it is back.
    """
    changes = {
        **apart(group(8, 2, block_size=32), group(8, 2, block_size=32)),
        "cluster.nodes.prefill.count": 1,
        "cluster.nodes.decode.count": 1,
    }

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(answers(world, "mid-"), "ask")

        def num_parts() -> int:
            records = world.trace.records
            return sum(isinstance(r, Delivered) and r.kind == "kv_part" for r in records)

        while num_parts() < after:
            await world.clock.wait_until(world.clock.now() + 500)
        killed_ns = world.clock.now()
        await world.kill(victim)
        heard = await asked
        check_cut_short(heard, of_digests(), killed_ns + world.blueprint.timeout_ns)
        assert any(one.code for one in heard), "somebody was on the way"
        await world.revive(victim)
        await settle(world)
        after_all = await answers(world, "after-")
        assert tokens(after_all) == of_digests()
        await settle(world)

    run(blueprint(changes), job)
