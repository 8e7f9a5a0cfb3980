"""In what form a chip keeps its KV, and what travels between two chips of other forms."""

from dataclasses import dataclass
from math import gcd

from configs.precision import KV_KINDS, KvKind


@dataclass(frozen=True, slots=True)
class BlockForm:
    """size   tokens in a block         numbers   in which keys and values are kept"""

    size: int
    numbers: KvKind

    def between(self, other: "BlockForm") -> "BlockForm":
        """What travels from one to the other: pieces of which both ends' blocks are made, in the
        narrower numbers of both. Wider ones would tell the far end nothing that it keeps, or
        nothing that the near end knows, and cost the link more.
        """
        return BlockForm(gcd(self.size, other.size), narrowest(self.numbers, other.numbers))

    def __str__(self) -> str:
        return f"blocks of {self.size} tokens in {self.numbers}"


def narrowest(*kinds: KvKind) -> KvKind:
    return max(kinds, key=KV_KINDS.index)
