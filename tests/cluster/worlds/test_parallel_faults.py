"""Links that lose, double, reorder and spoil what ranks say, and ones that fall silent."""

from typing import Any

import pytest

from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import answers, degrees, expected, tokens
from tests.cluster.worlds.cluster import blueprint, run, settle

BOTH_SPLIT = {
    **degrees(prefill=(2, 1), decode=(2, 2)),
    "cluster.nodes.decode.count": 1,
    "slo.deadline": "20 ms",
}
RANK_KINDS = ("step", "expect_kv", "share", "piece", "stage_rows", "kv_send", "kv_part")


@pytest.mark.parametrize("kind", RANK_KINDS)
def test_what_is_lost_is_sent_again_and_no_token_differs(kind: str) -> None:
    """Some of one kind go, some of all answers, and some of what is left comes twice or late."""
    faults = [
        {"type": "drop", "kind": kind, "toxicity": 0.1},
        {"type": "drop", "kind": "reply", "toxicity": 0.02},
        {"type": "duplicate", "kind": kind, "toxicity": 0.2, "attributes": {"delay": "9 us"}},
        {"type": "reorder", "kind": kind, "toxicity": 0.3, "attributes": {"delay": "30 us"}},
        {"type": "corrupt", "kind": kind, "toxicity": 0.05},
    ]

    async def job(world: VirtualWorld) -> None:
        heard = await answers(world)
        assert [one.code for one in heard] == [""] * len(heard)
        assert tokens(heard) == expected()
        await settle(world)

    run(blueprint({**BOTH_SPLIT, "faults": faults, "slo.deadline": "1 s"}), job)


def test_a_silent_shard_fails_its_own_tokens_on_all_ranks_alike() -> None:
    """It is waited for once a step, by the ranks whose rows it holds up; the others wait for
    them.
    """
    silent = {"type": "partition", "source": "experts-5", "start": "150 us", "duration": "8 ms"}

    async def job(world: VirtualWorld) -> None:
        heard = await answers(world)
        codes = {one.code for one in heard}
        assert "deadline_exceeded" in codes and codes <= {"", "deadline_exceeded"}
        for one, right in zip(heard, expected(), strict=True):
            assert one.tokens == right[: len(one.tokens)]
        assert any(one.tokens == right for one, right in zip(heard, expected(), strict=True))
        await world.clock.wait_until(world.clock.now() + 40_000_000)
        assert tokens(await answers(world, "after-")) == expected()
        await settle(world)

    run(blueprint({**BOTH_SPLIT, "cluster.nodes.experts.count": 8, "faults": [silent]}), job)


SILENT: Any = pytest.mark.parametrize(
    "rank", ["decode-0", "decode-0-rank-0", "decode-0-rank-3", "prefill-0-rank-1"]
)


@SILENT
@pytest.mark.parametrize("start", ["20 us", "150 us", "300 us"])
def test_a_rank_that_nobody_hears_ends_its_chip_s_requests_in_time(rank: str, start: str) -> None:
    """Nothing hangs; and once it is heard again, what is told begins anew."""
    silent = {"type": "partition", "source": rank, "start": start, "duration": "30 ms"}

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        heard = await answers(world)
        for one, right in zip(heard, expected(), strict=True):
            assert one.code in ("", "peer_dead", "deadline_exceeded"), one.error
            assert one.tokens == right[: len(one.tokens)]
            assert one.ended_ns <= begun_ns + world.blueprint.deadline_ns
        assert any(one.code for one in heard) or rank.startswith("prefill")  # it may be done
        await world.clock.wait_until(begun_ns + 80_000_000)
        after = await answers(world, "after-")
        assert [one.code for one in after] == [""] * len(after)
        assert tokens(after) == expected()
        await settle(world)

    run(blueprint({**BOTH_SPLIT, "faults": [silent]}), job)
