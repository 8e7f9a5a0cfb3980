"""In what form a chip keeps its KV, and what travels between two chips of other forms."""

from dataclasses import dataclass
from math import gcd

from configs.precision import KV_KINDS, KvKind


@dataclass(frozen=True, slots=True)
class BlockForm:
    """size   tokens in a block         numbers   in which keys and values are kept
    slices   equal parts of a block, each with other ranks (`configs.slices`)
    """

    size: int
    numbers: KvKind
    slices: int = 1

    @property
    def slice_tokens(self) -> int:
        """Of a block's tokens, those that lie with one rank, in a row."""
        return self.size // self.slices

    def between(self, other: "BlockForm") -> "BlockForm":
        """What travels from one to the other: pieces of which both ends' blocks are made, and the
        slices of these, in the narrower numbers of both. Wider ones would tell the far end nothing
        that it keeps, or nothing that the near end knows, and cost the link more.
        """
        tokens = gcd(self.slice_tokens, other.slice_tokens)
        return BlockForm(tokens, narrowest(self.numbers, other.numbers))

    def __str__(self) -> str:
        slices = f" in {self.slices} slices" if self.slices > 1 else ""
        return f"blocks of {self.size} tokens{slices} in {self.numbers}"


def narrowest(*kinds: KvKind) -> KvKind:
    return max(kinds, key=KV_KINDS.index)
