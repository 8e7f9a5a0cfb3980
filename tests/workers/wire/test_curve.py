"""What small messages pay, reckoned by hand: 1 byte a ns and 1 us on the way; times of delivery.

Where a test says SEGMENTS, each segment of 1 KiB takes the link 100 ns, and no message goes in more
than four; where it says A_MICROSECOND, each message takes it 1 us at least.
"""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.laws._arithmetic.machine import fair
from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from tests.workers.bench import SECOND_NS, make_link
from tests.workers.wire.curved import A_MICROSECOND, SEGMENTS, SHARINGS, Sent, arrivals, curved
from workers.wire.curve import Curve, curve_of, lane_ns, one_way_ns

ONE_OF_EACH_REGIME = [
    (SEGMENTS, 64, 1_000 + 100 + 64),  # nearly all latency and one overhead
    (SEGMENTS, 1_024, 1_000 + 100 + 1_024),  # one whole segment
    (SEGMENTS, 1_025, 1_000 + 200 + 1_025),  # a byte more is another segment
    (SEGMENTS, 4_096, 1_000 + 400 + 4_096),  # as many as there may be
    (SEGMENTS, 100_000, 1_000 + 400 + 100_000),  # no more: they are longer
    ({"overhead_ns": 100}, 100_000, 1_000 + 100 + 100_000),  # in one
    ({"overhead_ns": 100, "segment_bytes": 1_000}, 100_000, 1_000 + 100 * 100 + 100_000),
    (A_MICROSECOND, 64, 1_000 + 1_000),  # a message's turn takes longer than its bytes
    (A_MICROSECOND, 5_000, 1_000 + 5_000),  # its bytes take longer
    (A_MICROSECOND | {"overhead_ns": 600}, 300, 1_000 + 1_000),  # 900 of the turn's 1,000
    (A_MICROSECOND | {"overhead_ns": 600}, 500, 1_000 + 1_100),
    ({"startup_ns": 250}, 64, 250 + 1_000 + 64),
    (SEGMENTS | {"startup_ns": 250}, 2_048, 250 + 1_000 + 200 + 2_048),
]


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize(("keys", "num_bytes", "there_ns"), ONE_OF_EACH_REGIME)
def test_a_message_alone(
    keys: dict[str, Any], num_bytes: int, there_ns: int, sharing: Sharing
) -> None:
    link = curved(sharing, **keys)
    assert arrivals([("a", "b", 500, num_bytes)], link) == [500 + there_ns]
    assert one_way_ns(link, num_bytes) == there_ns


@pytest.mark.parametrize("through_frames", [False, True])
def test_a_stream_of_small_ones_goes_at_one_an_overhead(through_frames: bool) -> None:
    """Ten of 60 bytes at once take 160 ns each of the link; the latency is waited for once."""
    stream = [("a", "b", 0, 60)] * 10
    in_order = arrivals(stream, curved("fifo", **SEGMENTS), through_frames=through_frames)
    assert in_order == [1_000 + 160 * n for n in range(1, 11)]
    together = arrivals(stream, curved(**SEGMENTS), through_frames=through_frames)
    assert together == [1_000 + 160 * 10] * 10


def test_a_start_up_is_waited_for_once_a_stream() -> None:
    """While one starts up, others do too, and others move."""
    stream = [("a", "b", 0, 60)] * 3
    link = curved("fifo", overhead_ns=100, startup_ns=500)
    assert arrivals(stream, link) == [500 + 1_000 + 160 * n for n in (1, 2, 3)]


def test_a_message_rate_is_a_stream_s() -> None:
    """A million a second, whatever they carry; only what carries more than 1,000 takes longer."""
    stream = [("a", "b", 0, size) for size in (64, 900, 3_000, 64)]
    ends = [1_000, 2_000, 5_000, 6_000]
    assert arrivals(stream, curved("fifo", **A_MICROSECOND)) == [1_000 + end for end in ends]


@pytest.mark.parametrize("sharing", SHARINGS)
def test_of_two_senders_each_has_half_of_the_receiver_s_messages(sharing: Sharing) -> None:
    """Five of each, a turn of 1 us for each of ten; fair: all end together."""
    sends = [(name, "c", 0, 64) for _ in range(5) for name in ("a", "b")]
    there = arrivals(sends, curved(sharing, **A_MICROSECOND))
    if sharing == "fair":
        assert there == [1_000 + 10_000] * 10
    else:
        assert sorted(there) == [1_000 + 1_000 * n for n in range(1, 11)]


def test_a_small_one_shares_by_what_it_takes_and_not_by_its_bytes() -> None:
    """Both enter at 1,000, one of 64 bytes and a turn of 1,000, one of 5,000. Half speed each until
    the small one has had its turn, at 3,000; then the big one has 4,000 left.
    """
    sends = [("a", "c", 0, 64), ("b", "c", 0, 5_000)]
    assert arrivals(sends, curved(**A_MICROSECOND)) == [3_000, 7_000]


def test_segments_of_two_senders_share_like_bytes() -> None:
    """64 + 100 beside 4,096 + 400: half speed until 1,000 + 328; then 4,332 alone."""
    sends = [("a", "c", 0, 64), ("b", "c", 0, 4_096)]
    assert arrivals(sends, curved(**SEGMENTS)) == [1_328, 1_000 + 164 + 4_496]


@pytest.mark.parametrize("sharing", SHARINGS)
def test_each_end_has_its_own_curve_and_the_slower_one_decides(sharing: Sharing) -> None:
    plain, dear = curved(sharing), curved(sharing, overhead_ns=900)
    for ends in ({"a": dear, "b": plain}, {"a": plain, "b": dear}):
        assert arrivals([("a", "b", 0, 100)], plain, ends) == [1_000 + 900 + 100]
    # What the sender's overhead leaves of a plain ingress others have: 100 bytes in 1,000 ns are a
    # tenth of it.
    sends = [("slow", "c", 0, 100), ("fast", "c", 0, 900)]
    assert arrivals(sends, plain, {"slow": dear}) == [2_000, 2_000]


def test_each_end_starts_up_by_itself() -> None:
    """There the sender's is waited for, and back the answerer's."""
    links = {"a": curved(startup_ns=300), "b": curved(startup_ns=40)}
    sends = [("a", "b", 0, 100), ("b", "a", 0, 100)]
    assert arrivals(sends, curved(), links) == [300 + 1_100, 40 + 1_100]


@settings(max_examples=150)
@given(
    sends=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.just("c"), st.integers(0, 9_000), st.integers(64, 4_000)
        ),
        min_size=1,
        max_size=12,
    ),
    sharing=st.sampled_from(SHARINGS),
    rate=st.sampled_from([200_000, 1_000_000, 3_000_000]),
)
def test_no_more_messages_pass_than_the_rate(
    sends: list[Sent], sharing: Sharing, rate: int
) -> None:
    """From the first one that enters, the k-th is through after k turns or later; never faster than
    alone.
    """
    link = curved(sharing, messages_per_s=rate)
    there = arrivals(sends, link)
    first_ns = min(sent[2] for sent in sends) + 1_000
    for k, end_ns in enumerate(sorted(there), 1):
        assert (end_ns + 1 - first_ns) * rate >= k * SECOND_NS  # ends are whole ns
    for (_, _, at_ns, num_bytes), end_ns in zip(sends, there, strict=True):
        assert end_ns >= at_ns + one_way_ns(link, num_bytes)


@settings(max_examples=100)
@given(
    flows=st.lists(
        st.tuples(st.integers(0, 9_000), st.integers(64, 9_000)), min_size=1, max_size=8
    ),
    keys=st.sampled_from([SEGMENTS, A_MICROSECOND, {"overhead_ns": 333}]),
)
def test_senders_into_one_share_it_as_a_naive_reckoning_says(
    flows: list[tuple[int, int]], keys: dict[str, Any]
) -> None:
    """Each sender has one message: they share the way in alone, by the time that each takes it."""
    link = curved(**keys)
    sends = [(f"n{i}", "c", at_ns, num_bytes) for i, (at_ns, num_bytes) in enumerate(flows)]
    taken = [(at_ns + 1_000.0, float(lane_ns(link, num_bytes))) for at_ns, num_bytes in flows]
    for found_ns, right_ns in zip(arrivals(sends, link), fair(taken, 1e9), strict=True):
        assert abs(found_ns - right_ns) <= len(flows), "ends are whole ns"


@given(
    num_bytes=st.integers(1, 1 << 40),
    bytes_per_s=st.integers(1_000, 1 << 41),
    overhead_ns=st.integers(0, 10**9),
    segment=st.integers(256, 1 << 30),
    most=st.none() | st.integers(1, 1 << 20),
    rate=st.none() | st.integers(1, 10**9),
)
def test_the_lane_s_arithmetic_is_exact(
    num_bytes: int,
    bytes_per_s: int,
    overhead_ns: int,
    segment: int,
    most: int | None,
    rate: int | None,
) -> None:
    """As fractions of a second, without rounding but to a whole ns at the end."""
    link = LinkSpec.model_construct(
        name="x", latency_ns=0, bytes_per_s=bytes_per_s, overhead_ns=overhead_ns,
        segment_bytes=segment, max_segments=most, messages_per_s=rate,
    )  # fmt: skip
    segments = min(-(-num_bytes // segment), most or num_bytes)
    exact_s = Fraction(num_bytes, bytes_per_s) + segments * Fraction(overhead_ns, 10**9)
    exact_s = max(exact_s, Fraction(1, rate) if rate else Fraction(0))
    assert (
        0 <= lane_ns(link, num_bytes) - exact_s * 10**9 < 1 + Fraction(10**9, bytes_per_s) / 10**9
    )
    assert 0 <= Curve(link).bytes_per_s(num_bytes) - num_bytes / exact_s < 1


def test_without_the_keys_there_is_no_curve() -> None:
    assert curve_of(make_link()) is None
    assert curve_of(curved(startup_ns=5)) is None, "it is waited for beside the lane"
