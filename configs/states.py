"""What a chip keeps of models that have a state of fixed size in some layers (Qwen3-Next, Kimi
Linear), beside the keys and values of the others.

Each sequence has one, from its admission to its last word: a chip has room for `max_num_seqs` of
them. No block of the prefix cache has one, so nothing is found there. On its way to another chip it
goes with the last block.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StateAtEnd:
    """num_bytes   of a sequence's state, all layers"""

    num_bytes: int

    def num_thin(self, num_tokens: int, block_size: int) -> int:
        """Leading blocks that come without a state, of so many tokens (at least one)."""
        return (num_tokens - 1) // block_size
