"""Small messages land in SRAM, others in DRAM: 1 byte a ns, 1 us on the way, 500 ns of DRAM."""

import pytest

from configs.schema.link import LinkSpec
from tests.workers.bench import Bench, make_link
from tests.workers.wire.fabric.bench import bench_of
from tests.workers.wire.parcel import Parcel
from workers.wire.curve import one_way_ns

LANDING = make_link().model_copy(update={"sram_bytes": 1_000, "dram_latency_ns": 500})


def arrivals(bench: Bench, names: tuple[str, str], *sizes: int) -> list[int]:
    """Each sent when the one before has come; how long it took."""

    async def job(bench: Bench) -> list[int]:
        seen: list[int] = []
        source, target = names
        bench.port(target).on(Parcel, lambda _: seen.append(bench.clock.now()))
        for number, size in enumerate(sizes):
            await bench.clock.wait_until(number * 10**6)
            await bench.port(source).send(target, Parcel(charged=size))
        await bench.clock.wait_until(10**9)
        return [at_ns - number * 10**6 for number, at_ns in enumerate(seen)]

    return bench.run(job)


def test_up_to_its_size_in_sram_and_from_there_on_in_dram() -> None:
    bench = Bench("a", "b", links={"b": LANDING})
    assert arrivals(bench, ("a", "b"), 1_000, 1_001, 3_000) == [2_000, 2_501, 4_500]


def test_it_is_the_receiver_s_that_counts() -> None:
    bench = Bench("a", "b", links={"a": LANDING})
    assert arrivals(bench, ("a", "b"), 3_000) == [4_000]


def test_in_order_too() -> None:
    link = LANDING.model_copy(update={"sharing": "fifo"})
    bench = Bench("a", "b", links={"a": make_link(sharing="fifo"), "b": link})
    assert arrivals(bench, ("a", "b"), 1_000, 3_000) == [2_000, 4_500]


def test_at_the_end_of_a_network() -> None:
    """One inner link of 100 ns."""
    bench = bench_of(2, link_changes={"sram_bytes": 1_000, "dram_latency_ns": 500}, type="direct")
    assert arrivals(bench, ("n-0", "n-1"), 1_000, 3_000) == [2_100, 4_600]


def test_a_drawn_link_shows_it() -> None:
    assert one_way_ns(LANDING, 1_000) == 2_000 and one_way_ns(LANDING, 1_001) == 2_501


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sram": "4 KiB"}, "sram is given and dram_latency is missing"),
        ({"dram_latency": "1 us"}, "dram_latency is given and sram is missing"),
        ({"sram": "4 KiB", "dram_latency": "2 s"}, "2 s is too long"),
    ],
)
def test_one_without_the_other_is_refused(keys: dict, words: str) -> None:
    given = {"name": "x", "latency": "1 us", "bandwidth": "1 GB/s", **keys}
    with pytest.raises(ValueError, match=words):
        LinkSpec.model_validate(given, context={"text": True})
