"""How long one peer's answers take, by kind of call: smoothed mean and deviation (RFC 6298)."""

# A first guess at a round trip before one was seen: the share of a call's time after which its
# answer is overdue.
UNKNOWN_ROUND_TRIP_SHARE = 32
# An answer is overdue after this many times the expected round trip.
PATIENCE = 3
# Nor is any sooner than this: a message queues behind others for that long without being lost.
# ASSUMED: some ten launches of a kernel.
PATIENCE_NS_MIN = 50_000


def patience_ns_least(time_left_ns: int) -> int:
    """No answer is overdue sooner than after this."""
    return min(PATIENCE_NS_MIN, _unknown_ns(time_left_ns))


def _unknown_ns(time_left_ns: int) -> int:
    return max(time_left_ns // UNKNOWN_ROUND_TRIP_SHARE, 1)


class RoundTrips:
    """Of the calls to one peer."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}

    def heard(self, kind: str, took_ns: int) -> None:
        """An answer to a call sent once: of a repeated one nobody knows which was answered."""
        known = self._seen.get(kind)
        if known is None:
            self._seen[kind] = (took_ns, took_ns / 2)
            return
        mean, deviation = known
        deviation += (abs(took_ns - mean) - deviation) / 4
        self._seen[kind] = (mean + (took_ns - mean) / 8, deviation)

    def patience_ns(self, kind: str, time_left_ns: int) -> int:
        """How long to wait for an answer before asking what became of the call."""
        unknown_ns = _unknown_ns(time_left_ns)
        known = self._seen.get(kind)
        if known is None:
            return unknown_ns
        mean, deviation = known
        return min(max(int(PATIENCE * (mean + 4 * deviation)), PATIENCE_NS_MIN), unknown_ns)
