"""Which evicted KV blocks are worth writing into a slower tier. Pure policy: no IO, no time of its
own, bounded memory. Same calls, same answers.

    always       each
    second_use   those that were asked for twice, or will be for certain (a preempted sequence's)
    write_cost   those with  p x (compute - read) > write,  as long as the tier's wear allows

p is how likely a block that was asked for n times is asked for once more: of the blocks that came
so far, the share that was, by Laplace's rule of succession, (s + 1) / (n + 2); and at least what it
is after fewer uses, of which more is known. The rule is ours. compute, read and write are times of
one block (`configs.offload`).
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from configs.offload import BlockCosts

# Hashes whose uses are remembered: the ghost list. A forgotten one begins anew. 16 bytes each.
GHOSTS_MAX = 1 << 16
# Uses are told apart up to here: who was asked for more often is as likely to come again.
USES_MAX = 8
# What may be written at once where nothing was for long: so many seconds' part of the tier's wear.
BURST_S = 1


class Uses:
    """How often blocks were asked for, on the chip or not: the last GHOSTS_MAX that were."""

    def __init__(self, ghosts_max: int = GHOSTS_MAX) -> None:
        self._ghosts_max = ghosts_max
        self._uses: OrderedDict[bytes, int] = OrderedDict()
        self._expected: OrderedDict[bytes, None] = OrderedDict()
        self._reached = [0] * (USES_MAX + 2)  # blocks that were asked for so many times

    def asked(self, hashes: Iterable[bytes]) -> None:
        for content in hashes:
            uses = min(self._uses.pop(content, 0) + 1, USES_MAX + 1)
            self._uses[content] = uses
            self._reached[uses] += uses <= USES_MAX
            self._expected.pop(content, None)
        _shorten(self._uses, self._ghosts_max)

    def expect(self, hashes: Iterable[bytes]) -> None:
        """These will be asked for once more, for certain."""
        for content in hashes:
            self._expected[content] = None
        _shorten(self._expected, self._ghosts_max)

    def is_expected(self, content: bytes) -> bool:
        return content in self._expected

    def count(self, content: bytes) -> int:
        """Uses so far, at most USES_MAX."""
        return min(self._uses.get(content, 0), USES_MAX)

    def chance(self, content: bytes) -> float:
        """That it is asked for once more: 1 if that is certain, else above 0 and below 1."""
        if content in self._expected:
            return 1.0
        # What nobody asked for yet, an answer's blocks, is as likely as what was asked for once.
        uses = max(1, min(self.count(content), USES_MAX - 1))
        reached = self._reached
        return max((reached[n + 1] + 1) / (reached[n] + 2) for n in range(1, uses + 1))


def _shorten(ghosts: OrderedDict[bytes, int] | OrderedDict[bytes, None], most: int) -> None:
    while len(ghosts) > most:
        ghosts.popitem(last=False)


class WearBudget:
    """So many bytes a second, of which at most BURST_S seconds' are saved up: over any time t no
    more than rate x (t + BURST_S) is written, so a tier lives as long as its rate was made for.
    """

    def __init__(self, bytes_per_s: float) -> None:
        """Raises ValueError where nothing may be written at all."""
        if bytes_per_s <= 0:
            raise ValueError(f"bytes_per_s is {bytes_per_s}: it must be above 0")
        self._bytes_per_s = bytes_per_s
        self._left, self._since_ns = bytes_per_s * BURST_S, 0

    def take(self, num_bytes: int, now_ns: int) -> bool:
        """False, with nothing taken, if that is more than is left. `now_ns` never goes back."""
        more = (now_ns - self._since_ns) * 1e-9 * self._bytes_per_s
        self._left = min(self._left + more, self._bytes_per_s * BURST_S)
        self._since_ns = now_ns
        if num_bytes > self._left:
            return False
        self._left -= num_bytes
        return True


class Rule(Protocol):
    """Whether one evicted block is written; a yes counts as written."""

    def admits(self, content: bytes, num_bytes: int, now_ns: int) -> bool: ...


class Always:
    """Each."""

    def admits(self, content: bytes, num_bytes: int, now_ns: int) -> bool:
        return True


class SecondUse:
    """Those that were asked for twice, or will be."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses

    def admits(self, content: bytes, num_bytes: int, now_ns: int) -> bool:
        return self._uses.is_expected(content) or self._uses.count(content) >= 2


class WriteCost:
    """Those that save more than they cost, within the wear."""

    def __init__(self, uses: Uses, costs: BlockCosts, wear: WearBudget | None) -> None:
        self._uses, self._costs, self._wear = uses, costs, wear

    def admits(self, content: bytes, num_bytes: int, now_ns: int) -> bool:
        saved_ns = self._costs.compute_ns - self._costs.read_ns
        if self._uses.chance(content) * saved_ns <= self._costs.write_ns:
            return False
        return self._wear is None or self._wear.take(num_bytes, now_ns)


def rule_of(name: str, uses: Uses, costs: BlockCosts, wear_bytes_per_s: float | None) -> Rule:
    """By its name in a scenario (`placement.kv_offload.admission`)."""
    if name == "second_use":
        return SecondUse(uses)
    if name == "write_cost":
        wear = None if wear_bytes_per_s is None else WearBudget(wear_bytes_per_s)
        return WriteCost(uses, costs, wear)
    return Always()
