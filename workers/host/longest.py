"""How long the queues of a node ever were: what overload looks like in a report."""


class Longest:
    """One queue, or all of one name on a node (one a request, say): the longest counts."""

    __slots__ = ("length",)

    def __init__(self) -> None:
        self.length = 0

    def seen(self, length: int) -> None:
        """It is as long as that now."""
        if length > self.length:
            self.length = length
