"""What whoever waited too long hears: seconds, as people count them."""

from workers.errors import DeadlineExceeded

_NS_PER_S = 10**9


def too_late(arrived_ns: int | None, deadline_ns: int) -> DeadlineExceeded:
    """Of a request that came then and was to be answered by then, in the cluster's time."""
    if arrived_ns is None:
        return DeadlineExceeded("the deadline passed before the answer was complete")
    within_s = (deadline_ns - arrived_ns) / _NS_PER_S
    return DeadlineExceeded(
        f"no complete answer within {within_s:g} s of the cluster's time (slo.deadline)"
    )
