"""What is shared and queues: compute, a memory tier's bandwidth, one direction of a link."""


class Resource:
    """First come, first served at a fixed rate.

    rate_per_s   units (bytes, operations) per second; 0 costs nothing
    """

    __slots__ = ("busy_ns", "free_ns", "rate_per_s")

    def __init__(self, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self.free_ns = 0  # when all that was reserved is done
        self.busy_ns = 0  # how long it worked in all: utilisation

    def duration_ns(self, amount: int) -> int:
        """How long `amount` takes alone, rounded up: what is asked for is never free by
        rounding.
        """
        if not self.rate_per_s or not amount:
            return 0
        return -int(-amount * 1_000_000_000 // self.rate_per_s)

    def reserve(self, start_ns: int, amount: int) -> tuple[int, int]:
        """Queue `amount` at `start_ns`; returns when it begins and when it is done."""
        begin_ns = max(start_ns, self.free_ns)
        duration_ns = self.duration_ns(amount)
        self.free_ns = begin_ns + duration_ns
        self.busy_ns += duration_ns
        return begin_ns, self.free_ns
