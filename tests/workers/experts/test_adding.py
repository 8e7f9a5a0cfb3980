"""Additions charged to an engine at the link: by hand, at ranks, at a switch, and at a chip."""

from dataclasses import replace

import numpy as np
import pytest

from configs.schema.collectives import Algorithm
from configs.schema.device import ADDER, ResourceSpec
from tests.workers.bench import SECOND_NS, Bench, make_device
from tests.workers.collectives.ranks import SWITCH, Ranks, names, switch_for
from tests.workers.experts.toy import HIDDEN, cluster, serve, side, tokens
from workers.collectives import operations

LATENCY_NS = 50
# 2 bytes a ns, and 1 pJ a byte.
ENGINE = ResourceSpec(rate_per_s=2e9, latency_ns=LATENCY_NS, unit_pj=1.0)
DEVICE = make_device(resources={ADDER: ENGINE}, launch_overhead_ns=700)
PLAIN = make_device(launch_overhead_ns=700)


@pytest.mark.parametrize(
    ("algorithm", "num_ranks", "extra_ns"),
    [
        # Of two terms that come at once the second is added after the first.
        ("direct", 3, 2 * 200 + LATENCY_NS),
        # A round's chunk of 100 bytes, three times; sums that come round are only kept.
        ("ring", 4, 3 * (50 + LATENCY_NS - 64)),
        # The first is kept, three are added.
        ("in_network", 4, 3 * 200 + LATENCY_NS - 4 * 64),
        ("recursive_doubling", 4, 2 * (200 + LATENCY_NS) - 64),
    ],
)
def test_terms_are_added_at_the_link_by_hand(
    algorithm: Algorithm, num_ranks: int, extra_ns: int
) -> None:
    """400 bytes of sums a rank: 200 ns to add. What leaves later shares its way no more with the 64
    bytes that answered the piece before.
    """

    def took_ns(with_engine: bool) -> tuple[int, float]:
        async def job(bench: Bench) -> tuple[int, float]:
            ranks = Ranks(bench, num_ranks, switch_for("all_reduce", algorithm))
            found = await ranks.ask(
                lambda group, rank: operations.all_reduce(
                    group, algorithm, np.full((4, 25), float(rank))
                )
            )
            expected = np.full((4, 25), sum(range(num_ranks)))
            assert all(np.array_equal(sums, expected) for sums in found)
            ns = bench.clock.now()
            await bench.clock.wait_until(SECOND_NS)
            ranks.assert_idle()
            return ns, sum(node.hardware.joules for node in bench.nodes.values())

        device = DEVICE if with_engine else PLAIN
        return Bench(*names(num_ranks), SWITCH, device=device).run(job)

    (with_ns, joules), (without_ns, none) = took_ns(True), took_ns(False)
    assert abs(with_ns - without_ns - extra_ns) <= 2, "a nanosecond of rounding"
    added = {"direct": 3 * 2 * 400, "ring": 4 * 3 * 100, "in_network": 3 * 400}
    if algorithm in added:
        assert none == 0 and abs(joules - added[algorithm] * 1e-12) < 1e-18


def test_a_chip_adds_shares_as_they_come() -> None:
    """8 tokens with an expert on each of two shards: the second share of each is added, 8 rows of
    24 bytes: 96 ns and the engine's latency after it came, with no launch of the chip's.
    """
    owner = [0] * 4 + [1] * 4
    batch = tokens(1, 8, 2)
    experts = np.stack([np.arange(8) % 4, 4 + np.arange(8) % 4], axis=1).astype(np.int32)

    def took_ns(with_engine: bool) -> tuple[int, float]:
        async def job(bench: Bench) -> tuple[int, float]:
            serve(bench)
            one = side(bench, owner)
            asked = replace(batch, experts_TK=experts)
            await one.combine_receive(await one.dispatch_send(asked, SECOND_NS))
            return bench.clock.now(), bench.nodes["chip"].hardware.joules

        return cluster(owner, device=DEVICE if with_engine else PLAIN)[0].run(job)

    (with_ns, joules), (without_ns, none) = took_ns(True), took_ns(False)
    assert with_ns - without_ns == 8 * 4 * HIDDEN // 2 + LATENCY_NS
    assert none == 0 and joules == pytest.approx(8 * 4 * HIDDEN * 1e-12)
