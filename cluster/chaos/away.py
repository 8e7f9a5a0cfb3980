"""Which nodes were away, and when: dead, or standing still."""

from workers.host.clock.base import Clock


class Away:
    """Spans of emulated time, one for each death and each pause."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Node, since and until when; None: it still is.
        self._spans: list[tuple[str, int, int | None]] = []

    def leaves(self, node: str) -> None:
        self._spans.append((node, self._clock.now(), None))

    def returns(self, node: str) -> None:
        """One of those that keep it away is over."""
        at = next(i for i, (one, _, end) in enumerate(self._spans) if one == node and end is None)
        self._spans[at] = *self._spans[at][:2], self._clock.now()

    def now(self) -> list[str]:
        """Those that are, or are about to be."""
        return [node for node, _, end in self._spans if end is None]

    def until_ns(self) -> int:
        """Until when anybody was away: now, where one is."""
        return max((self._clock.now() if end is None else end for _, _, end in self._spans),
                   default=0)  # fmt: skip

    def was(self, node: str, since_ns: int, until_ns: int) -> bool:
        """Whether it was at any time between."""
        return any(
            one == node and begun <= until_ns and (ended is None or ended >= since_ns)
            for one, begun, ended in self._spans
        )
