"""Late shares replaced: what is left of a sum is stretched by the weight that is missing."""

import numpy as np

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import cluster, dense, serve, side, tokens
from tests.workers.wire.calls import Each
from workers.errors import DeadlineExceeded, PeerDead
from workers.experts.late import without_late
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.tokens import Combined, Missing, Tokens
from workers.model.digest.numerics import Digest
from workers.model.digest.shape import KvSizes
from workers.model.numerics import EXACT_NUMERICS
from workers.wire.rules import Delay, Pass

TABLE = RoutingTable.of({0: "a", 1: "a", 2: "b", 3: "c"}, ["a", "b", "c"])


def lacking(*missing: Missing) -> Combined:
    return Combined(np.array([[8.0, 4.0], [6.0, 3.0], [0.0, 0.0], [5.0, 5.0]]), missing)


def asked() -> Tokens:
    """Weights of sixteenths: sums are exact."""
    experts = [[0, 2], [1, 3], [2, NOBODY], [0, 1]]
    weights = [[0.75, 0.25], [0.5, 0.25], [0.5, 0.5], [0.5, 0.5]]
    numbers = np.zeros(4, np.uint64), np.arange(4), np.zeros((4, 2), np.float32)
    return Tokens(
        0, "r", *numbers, np.array(experts, np.int32), np.array(weights, np.float32)
    )  # fmt: skip


def test_what_came_is_stretched_by_hand() -> None:
    """Row 0 lacks b's 1/4 of 1: times 4/3. Row 2 asked b alone: nothing is left. c is gone, which
    is no lateness: row 1 stays missing.
    """
    late = Missing("b", np.array([0, 2]), DeadlineExceeded("late"))
    gone = Missing("c", np.array([1]), PeerDead("gone"))
    combined, rows = without_late(EXACT_NUMERICS, lacking(late, gone), asked(), TABLE)
    assert rows.tolist() == [0, 2] and combined.missing == (gone,)
    expected = np.array([[8 * 4 / 3, 4 * 4 / 3], [6, 3], [0, 0], [5, 5]])
    np.testing.assert_allclose(combined.sums_TH, expected, rtol=1e-15)


def test_two_late_shards_of_one_token_and_none() -> None:
    """Row 1 lacks c's 1/4 of 3/4: times 3/2; where nobody is late nothing changes."""
    late = [
        Missing("b", np.array([0, 2]), DeadlineExceeded("late")),
        Missing("c", np.array([1]), DeadlineExceeded("late")),
    ]
    combined, rows = without_late(EXACT_NUMERICS, lacking(*late), asked(), TABLE)
    assert rows.tolist() == [0, 1, 2] and combined.missing == ()
    np.testing.assert_allclose(combined.sums_TH[1], [9, 4.5], rtol=1e-15)
    whole = lacking()
    assert without_late(EXACT_NUMERICS, whole, asked(), TABLE)[0] is whole


def test_a_sum_of_digests_stays_what_has_come() -> None:
    sums = np.arange(4, dtype=np.uint64)
    late = Missing("b", np.array([0, 2]), DeadlineExceeded("late"))
    digest = Digest(8, 8, KvSizes(1, 1, 1, 1))
    combined, rows = without_late(digest, Combined(sums, (late,)), asked(), TABLE)
    assert rows.tolist() == [0, 2] and combined.sums_TH.tolist() == [0, 1, 2, 3]


def test_a_straggler_does_not_compute_what_was_given_up() -> None:
    """Of ten dispatches that come 3 ms late, given up after 1 ms, it computes none; the next one it
    does.
    """
    owner, batch = [0, 1] * 4, tokens(1, 6, 2)

    async def job(bench: Bench) -> int:
        serve(bench)
        slow = Each(lambda _, m: Delay(3_000_000) if m.destination == "shard-1" else Pass())
        chip = bench.nodes["chip"].endpoint
        chip.rules["slow"] = slow
        exchange = side(bench, owner)
        for _ in range(10):
            combined = await exchange.combine(await exchange.dispatch_send(batch, 1_000_000))
            assert [one.shard for one in combined.missing] == ["shard-1"]
        await bench.clock.wait_until(SECOND_NS)
        del chip.rules["slow"]
        sums = await exchange.combine_receive(await exchange.dispatch_send(batch, 1_000_000))
        np.testing.assert_allclose(sums, dense(batch), rtol=1e-12)
        computed: int = bench.nodes["shard-1"].worker.num_batches  # type: ignore[attr-defined]
        return computed

    assert cluster(owner)[0].run(job) == 1
