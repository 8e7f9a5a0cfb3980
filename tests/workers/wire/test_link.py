"""Links reckoned by hand: 1 byte a ns, 1 us on the way. Times of messages are those of delivery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire.link import Link
from workers.wire.message import Message
from workers.wire.rules import (
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Fate,
    Pass,
    Verdict,
    fate_of,
    flip_bit,
)
from workers.wire.transport.frame import checksum

Sent = tuple[str, str, int, int]  # from, to, at, bytes


def arrivals(
    *sends: Sent, names: tuple[str, ...] = ("a", "b", "c"), links: dict | None = None
) -> list[tuple[str, int]]:
    """(source, when its message was delivered), in order of delivery."""

    async def job(bench: Bench) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        for name in names:
            bench.port(name).on(Parcel, lambda m: seen.append((m.source, bench.clock.now())))

        async def send(source: str, to: str, at: int, num_bytes: int) -> None:
            await bench.clock.wait_until(at)
            await bench.port(source).send(to, Parcel(charged=num_bytes))

        for sent in sends:
            bench.node(sent[0]).spawn(send(*sent), "send")
        await bench.clock.wait_until(10**9)
        return seen

    return Bench(*names, links=links).run(job)


def test_alone_a_message_takes_latency_plus_bytes_over_bandwidth() -> None:
    assert arrivals(("a", "b", 500, 3_000)) == [("a", 500 + 1_000 + 3_000)]


def test_two_senders_share_one_ingress() -> None:
    """Both first bytes arrive at 1000; the second message comes in behind the first."""
    assert arrivals(("a", "c", 0, 2_000), ("b", "c", 0, 2_000)) == [("a", 3_000), ("b", 5_000)]


def test_ingress_queues_only_for_the_overlap() -> None:
    assert arrivals(("a", "c", 0, 2_000), ("b", "c", 1_500, 2_000)) == [("a", 3_000), ("b", 5_000)]
    assert arrivals(("a", "c", 0, 2_000), ("b", "c", 2_500, 100)) == [("a", 3_000), ("b", 3_600)]


def test_two_messages_of_one_egress_follow_each_other() -> None:
    """Also to different receivers; each receiver's ingress is free when the first byte comes."""
    assert arrivals(("a", "b", 0, 2_000), ("a", "c", 0, 300)) == [("a", 3_000), ("a", 3_300)]


def test_both_directions_at_once_do_not_meet() -> None:
    assert arrivals(("a", "b", 0, 2_000), ("b", "a", 0, 2_000)) == [("a", 3_000), ("b", 3_000)]


def test_the_slower_end_decides() -> None:
    """A slow receiver takes longer to take it in; the longer latency is the path's."""
    slow = {"b": make_link(latency_ns=5_000, bytes_per_s=10**8)}
    assert arrivals(("a", "b", 0, 100), links=slow) == [("a", 5_000 + 1_000)]
    assert arrivals(("b", "a", 0, 100), links=slow) == [("b", 1_000 + 5_000)]


def test_the_order_of_one_sender_is_kept() -> None:
    """A small message never overtakes a big one on the same way."""
    sends = [("a", "b", 0, size) for size in (5_000, 1, 300, 64)]
    times = [when for _, when in arrivals(*sends)]
    assert times == sorted(times) == [6_000, 6_001, 6_301, 6_365]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.just("c"), st.integers(0, 5_000), st.integers(64, 3_000)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_an_ingress_is_never_faster_than_its_bandwidth(sends: list[Sent]) -> None:
    got = arrivals(*sends)
    total = sum(size for *_, size in sends)
    assert len(got) == len(sends)
    assert got[-1][1] >= min(at for _, _, at, _ in sends) + 1_000 + total - 0
    latest = max(at for _, _, at, _ in sends)
    assert got[-1][1] <= latest + 1_000 + 2 * total, "and idles only while nothing is there"


def test_energy_is_the_sender_s() -> None:
    link = Link(make_link())
    link.leave(Message(Parcel(), "a", "b", charged_bytes=1_000), 0, make_link())
    assert link.joules == pytest.approx(1_000 * 8 * 2.0e-12)


# -- rules -----------------------------------------------------------------------------------------


class Says:
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def judge(self, source: str, destination: str, message: Message[Parcel]) -> Verdict:
        return self.verdict


def fate(*verdicts: Verdict) -> Fate:
    rules = {str(i): Says(verdict) for i, verdict in enumerate(verdicts)}
    return fate_of(rules, "a", "b", Message(Parcel(), "a", "b"))


def test_rules_add_up() -> None:
    assert fate() == fate(Pass()) == Fate((0,), False)
    assert fate(Delay(3), Pass(), Delay(4)) == Fate((7,), False)
    assert fate(Duplicate(10), Delay(5)) == Fate((5, 15), False)
    assert fate(Corrupt(), Duplicate()) == Fate((0, 0), True)
    assert fate(Delay(3), Duplicate(), Drop()).delays_ns == ()


@given(
    st.integers(0, 2**40),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3),
    st.lists(st.integers(0, 5), max_size=3),
)
def test_one_flipped_bit_is_seen_and_the_original_stays(
    message_id: int, body: dict[str, int], sizes: list[int]
) -> None:
    """Whatever the message carries: arrays, empty arrays, a body only, nothing at all."""
    tensors = {str(i): np.arange(size, dtype=np.float32) for i, size in enumerate(sizes)}
    message = Message(Parcel(dict(body), tensors=tensors), "a", "b", message_id=message_id)
    before = checksum(message)
    hit = flip_bit(message)
    assert hit.checksum and hit.checksum != checksum(hit)
    assert checksum(message) == before and message.checksum == 0
