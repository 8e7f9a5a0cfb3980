"""How long a chip waits for a shard before it asks somebody else who has the same experts."""

from collections import deque
from dataclasses import dataclass

# Answers of which the usual time is the median: of so many, and no fewer. ASSUMED: some steps.
ANSWERS_MAX, ANSWERS_MIN = 64, 16


@dataclass(frozen=True, slots=True)
class Patience:
    """silence_ns   after which a shard is silent that answers nothing, and does not say that it is
                 there either; None: it is waited for as long as a call may take
    hedge        so many times the usual time of an answer: then another is asked as well; None:
                 only where a shard is silent
    """

    silence_ns: int | None = None
    hedge: float | None = None


ENDLESS = Patience()


class Usual:
    """How long answers take: the median of the last ones, of all shards together, so that one
    straggler does not become what is usual.
    """

    def __init__(self) -> None:
        self._took_ns: deque[int] = deque(maxlen=ANSWERS_MAX)
        self._median_ns: int | None = None

    def heard(self, took_ns: int) -> None:
        self._took_ns.append(took_ns)
        self._median_ns = None

    def median_ns(self) -> int | None:
        """None while too few are known."""
        if self._median_ns is None and len(self._took_ns) >= ANSWERS_MIN:
            self._median_ns = sorted(self._took_ns)[len(self._took_ns) // 2]
        return self._median_ns
