"""A link's energy, reckoned by hand: 1 byte a ns, 2 pJ a bit, so 16 nJ for 1,000 bytes; the
machine behind it idles at 0 W.
"""

import pytest

from configs.schema.device import Sharing
from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.hardware.energy.conservation import differences
from workers.hardware.energy.meter import Reading


def sent(at_ns: tuple[int, ...], sharing: Sharing, read_ns: int) -> Reading:
    """What a drew that sent b 1,000 bytes at each of these times."""

    async def job(bench: Bench) -> Reading:
        async def send(at: int) -> None:
            await bench.clock.wait_until(at)
            await bench.port("a").send("b", Parcel(charged=1_000))

        for at in at_ns:
            bench.node("a").spawn(send(at), "send")
        await bench.clock.wait_until(read_ns)
        there = bench.node("b").read_energy()
        assert there is not None
        assert there.dynamic == {}, "it is the sender's"
        told = bench.node("a").read_energy()
        assert told is not None
        return told

    links = {name: make_link(sharing=sharing) for name in "ab"}
    told = Bench("a", "b", links=links).run(job)
    assert told.dynamic == {"link": {"serving": pytest.approx(16e-9 * len(at_ns))}}
    assert differences("a", told) == []
    return told


def test_in_order_each_message_draws_while_it_leaves() -> None:
    told = sent((0, 500), "fifo", 5_000)
    assert told.buckets == pytest.approx([16e-9, 16e-9])


def test_one_that_is_alone_draws_at_full_power() -> None:
    assert sent((0,), "fair", 5_000).buckets == pytest.approx([16e-9])


def test_one_that_is_joined_draws_for_longer() -> None:
    """The first has 500 bytes left when the second comes, and they end at 1,500 and 2,000: 16 nJ
    over 0 to 1,500, and 16 nJ over 500 to 2,000.
    """
    told = sent((0, 500), "fair", 5_000)
    assert told.buckets == pytest.approx([16e-9, 16e-9])


def test_what_has_not_left_is_open() -> None:
    told = sent((0, 500), "fair", 1_200)
    assert told.open_joules == pytest.approx(32e-9)
    assert told.drawn_joules == pytest.approx(0, abs=1e-20)
