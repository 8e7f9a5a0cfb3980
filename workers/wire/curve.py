"""What a message costs a link beside its bytes: time against size is a curve, not a line.

    on the lane   max(segments x overhead + bytes / bandwidth, 1 / message rate)
    on its way    start-up + latency
    segments      bytes / segment, rounded up: at least one, at most `max_segments`, longer then

    landing       after the last byte, where it is too long for the receiver's SRAM

The first part takes the lane, so messages share it as they share bytes (`wire.lane`): a stream of
small ones goes at the message rate, or one an overhead, however many send it. The second part is
only waited for. In LogGP's words (Alexandrov et al., SPAA 1995): latency is L, overhead o, the
message rate 1/g and the bandwidth 1/G; there o is the processor's and here the link's.

An operation that is read or written from one side is two messages here. A write is a call that
carries the bytes, and its answer; a read is a call, and an answer that carries them. Either goes
there and back: a read pays the way of its request first.
"""

from configs.schema.link import LinkSpec

# A lane with a curve serves billionths of a byte: an overhead of one ns is `bytes_per_s` of them,
# whole for every bandwidth.
PARTS_PER_BYTE = 10**9


class Curve:
    """What messages cost one end of a link whose time is not bytes over bandwidth alone.

    parts_per_s   of the whole lane
    """

    __slots__ = ("_least", "_max_segments", "_overhead", "_segment_bytes", "parts_per_s")

    def __init__(self, link: LinkSpec) -> None:
        self.parts_per_s = link.bytes_per_s * PARTS_PER_BYTE
        self._overhead = link.overhead_ns * link.bytes_per_s
        self._segment_bytes, self._max_segments = link.segment_bytes, link.max_segments
        rate = link.messages_per_s
        self._least = -(-self.parts_per_s // rate) if rate else 0

    def num_segments(self, num_bytes: int) -> int:
        """How many a message goes in."""
        if self._segment_bytes is None:
            return 1
        segments = max(1, -(-num_bytes // self._segment_bytes))
        return segments if self._max_segments is None else min(segments, self._max_segments)

    def parts(self, num_bytes: int) -> int:
        """What a message takes of the lane: bytes, segments' overheads, or a message's turn."""
        whole = num_bytes * PARTS_PER_BYTE + self.num_segments(num_bytes) * self._overhead
        return max(whole, self._least)

    def bytes_per_s(self, num_bytes: int) -> int:
        """How fast such a message's bytes go that has the lane for itself, rounded up."""
        return -(-num_bytes * self.parts_per_s // self.parts(num_bytes))


def curve_of(link: LinkSpec) -> Curve | None:
    """None where a message takes the link for its bytes alone."""
    return Curve(link) if link.overhead_ns or link.messages_per_s else None


def lane_ns(link: LinkSpec, num_bytes: int) -> int:
    """How long a message takes the whole of a lane, rounded up: one after the other of that size
    leaves in this time.
    """
    curve = curve_of(link)
    if curve is None:
        return -(-num_bytes * 10**9 // link.bytes_per_s)
    return -(-curve.parts(num_bytes) * 10**9 // curve.parts_per_s)


def one_way_ns(link: LinkSpec, num_bytes: int) -> int:
    """From being sent to being there, alone, between two ends with such a link."""
    took_ns = link.startup_ns + link.latency_ns + lane_ns(link, num_bytes)
    return took_ns + landing_ns(link, num_bytes)


def landing_ns(link: LinkSpec, num_bytes: int) -> int:
    """What a message's receiver waits for beside its last byte."""
    in_sram = link.sram_bytes is None or num_bytes <= link.sram_bytes
    return 0 if in_sram else link.dram_latency_ns
