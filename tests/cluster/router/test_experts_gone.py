"""A request that lacks experts which nobody has ends at once; one that another chip could help is
begun anew.
"""

from typing import Any

import pytest

from cluster.router.experts_gone import told_by
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.chips_of_ranks import answers
from tests.cluster.worlds.cluster import blueprint, run, settle
from tests.workers.bench import make_link
from workers.errors import PeerDead, to_body
from workers.host.trace import Noted, Ran
from workers.wire.membership import Member, Membership

FAULT = to_body(PeerDead("a on node-a is gone", node="node-a", experts_of="a"))
PLAIN = to_body(PeerDead("a on node-a is gone", node="node-a"))


@pytest.mark.parametrize(
    ("living", "holders", "spares", "is_final"),
    [
        ("", {0: ["a"], 1: ["b"]}, {}, True),
        ("a", {0: ["a"], 1: ["b"]}, {}, False),  # the chip alone is cut off
        ("b", {0: ["a"], 1: ["b"]}, {}, True),
        ("s", {0: ["a"], 1: ["b"]}, {"a": ["s"]}, False),
        ("b", {0: ["a"], 1: ["b"]}, {"a": ["s"]}, True),
        ("b", {0: ["a", "b"], 1: ["b"]}, {}, False),
        ("b", {0: ["a", "b"], 1: ["a"]}, {}, True),  # one of its experts had no copy
    ],
)
def test_it_is_final_where_nobody_has_one_of_its_experts(
    living: str, holders: dict[int, list[str]], spares: dict[str, list[str]], is_final: bool
) -> None:
    members = Membership({name: f"node-{name}" for name in "abs"})
    for name in living:
        members.join(Member(f"node-{name}", 1, make_link()))
    assert told_by(members, holders, spares)(FAULT) == (FAULT if is_final else PLAIN)
    assert told_by(members, holders, spares)(PLAIN) == PLAIN


def test_each_request_is_begun_once_and_fails_at_once() -> None:
    """One dispatch meets the dead shard: nothing is computed a second time in vain."""

    async def job(world: VirtualWorld) -> None:
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + 100_000)
        await world.kill("experts-1")
        killed_ns = world.clock.now()
        heard = await asked
        assert {one.code for one in heard} == {"peer_dead"}
        await settle(world, dead=("experts-1",))
        heard = await answers(world, "later")
        assert {one.code for one in heard} == {"peer_dead"}
        records: list[Any] = list(world.trace.records)
        assert not [r for r in records if isinstance(r, Noted) and r.what == "begun anew"]
        prefills = [
            r for r in records
            if isinstance(r, Ran) and r.node.startswith("prefill") and r.work == "attention"
            and r.at_ns > killed_ns
        ]  # fmt: skip
        assert 0 < len(prefills) <= 2 * len(heard)
        await settle(world, dead=("experts-1",))

    run(blueprint(), job)
