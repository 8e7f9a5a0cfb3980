"""Links reckoned by hand: 1 byte a ns, 1 us on the way. Times of messages are those of delivery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.device import Sharing
from tests.workers.bench import Bench, make_link
from tests.workers.wire.fabric.bench import Sent
from tests.workers.wire.fabric.bench import arrivals as arrivals_in
from tests.workers.wire.parcel import Parcel
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

IN_ORDER: Sharing = "fifo"


def arrivals(
    *sends: Sent,
    names: tuple[str, ...] = ("a", "b", "c"),
    links: dict | None = None,
    sharing: Sharing = "fair",
) -> list[tuple[str, int]]:
    """(source, when its message was delivered), in order of delivery."""
    default = {name: make_link(sharing=sharing) for name in names}
    bench = Bench(*names, links={**default, **(links or {})})
    return [(source, at_ns) for source, _, at_ns in arrivals_in(bench, *sends)]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_alone_a_message_takes_latency_plus_bytes_over_bandwidth(sharing: Sharing) -> None:
    assert arrivals(("a", "b", 500, 3_000), sharing=sharing) == [("a", 500 + 1_000 + 3_000)]


def test_two_senders_share_one_ingress() -> None:
    """Both first bytes arrive at 1000, and each comes in at half the speed."""
    assert arrivals(("a", "c", 0, 2_000), ("b", "c", 0, 2_000)) == [("a", 5_000), ("b", 5_000)]


def test_in_order_the_second_message_comes_in_behind_the_first() -> None:
    sends = ("a", "c", 0, 2_000), ("b", "c", 0, 2_000)
    assert arrivals(*sends, sharing=IN_ORDER) == [("a", 3_000), ("b", 5_000)]


@pytest.mark.parametrize(("sharing", "first_ns"), [("fair", 3_500), ("fifo", 3_000)])
def test_ingress_is_shared_only_while_both_are_there(sharing: Sharing, first_ns: int) -> None:
    """a's bytes come from 1000 on, b's from 2500 on, when a has 500 to go; fairly, these take 1000.
    b has the whole ingress after that.
    """
    sends = ("a", "c", 0, 2_000), ("b", "c", 1_500, 2_000)
    assert arrivals(*sends, sharing=sharing) == [("a", first_ns), ("b", 5_000)]
    late = ("a", "c", 0, 2_000), ("b", "c", 2_500, 100)
    assert arrivals(*late, sharing=sharing) == [("a", 3_000), ("b", 3_600)]


def test_two_messages_of_one_egress_share_it() -> None:
    """To b and c, 300 bytes each have left at 600; b's other 1700 then go at full speed."""
    assert arrivals(("a", "b", 0, 2_000), ("a", "c", 0, 300)) == [("a", 1_600), ("a", 3_300)]


def test_in_order_two_messages_of_one_egress_follow_each_other() -> None:
    """Also to different receivers; each receiver's ingress is free when the first byte comes."""
    sends = ("a", "b", 0, 2_000), ("a", "c", 0, 300)
    assert arrivals(*sends, sharing=IN_ORDER) == [("a", 3_000), ("a", 3_300)]


def test_a_promise_is_taken_back_by_whoever_comes_before_its_end() -> None:
    """a alone would have left at 2000. From 1000 on it shares with 400 bytes, which leave at 1800;
    its other 600 leave at 2400.
    """
    assert arrivals(("a", "b", 0, 2_000), ("a", "c", 1_000, 400)) == [("a", 2_800), ("a", 3_400)]


def test_a_promise_that_was_kept_is_nobody_else_s_business() -> None:
    assert arrivals(("a", "b", 0, 2_000), ("a", "c", 2_000, 400)) == [("a", 3_000), ("a", 3_400)]


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
def test_eight_senders_into_one_receiver_take_eight_times_as_long(sharing: Sharing) -> None:
    names = tuple("abcdefgh")
    alone = arrivals(("a", "z", 0, 4_000), names=(*names, "z"), sharing=sharing)[-1][1]
    sends = [(name, "z", 0, 4_000) for name in names]
    together = arrivals(*sends, names=(*names, "z"), sharing=sharing)
    assert alone == 1_000 + 4_000
    assert together[-1][1] == 1_000 + 8 * 4_000
    if sharing == "fair":
        assert {when for _, when in together} == {1_000 + 8 * 4_000}, "and all of them equally"


def test_eight_receivers_of_one_sender_take_eight_times_as_long() -> None:
    names = tuple("abcdefgh")
    sends = [("z", name, 0, 4_000) for name in names]
    assert [when for _, when in arrivals(*sends, names=("z", *names))] == [1_000 + 8 * 4_000] * 8


def test_both_directions_at_once_do_not_meet() -> None:
    assert arrivals(("a", "b", 0, 2_000), ("b", "a", 0, 2_000)) == [("a", 3_000), ("b", 3_000)]


def test_the_slower_end_decides() -> None:
    """A slow receiver takes longer to take it in; the longer latency is the path's."""
    slow = {"b": make_link(latency_ns=5_000, bytes_per_s=10**8)}
    assert arrivals(("a", "b", 0, 100), links=slow) == [("a", 5_000 + 1_000)]
    assert arrivals(("b", "a", 0, 100), links=slow) == [("b", 1_000 + 5_000)]


def test_in_order_the_order_of_one_sender_is_kept() -> None:
    """A small message never overtakes a big one on the same way."""
    sends = [("a", "b", 0, size) for size in (5_000, 1, 300, 64)]
    times = [when for _, when in arrivals(*sends, sharing=IN_ORDER)]
    assert times == sorted(times) == [6_000, 6_001, 6_301, 6_365]


def test_fairly_small_messages_overtake_big_ones() -> None:
    """Of four at once each has a quarter: 1 byte after 4 ns; 64 after 4 + 3 x 63 = 193; 300 after
    193 + 2 x 236 = 665; the big one has had 300 by then, and goes on alone.
    """
    sends = [("a", "b", 0, size) for size in (5_000, 1, 300, 64)]
    times = [when for _, when in arrivals(*sends)]
    assert times == [1_004, 1_193, 1_665, 1_665 + 4_700]


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
    async def job(bench: Bench) -> None:
        await bench.port("a").send("b", Parcel(charged=1_000))
        joules = [bench.node(name).endpoint.egress.joules for name in "ab"]
        assert joules == [pytest.approx(1_000 * 8 * 2.0e-12), 0.0]

    Bench("a", "b").run(job)


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
