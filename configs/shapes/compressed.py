"""DeepSeek-V4's attention: a window of tokens, and all of the past in compressed entries.

Keys and values are one vector of `head_dim` that all heads share. Every `ratio` tokens become one
entry more; with ratio 4 entries overlap and an index chooses among them (CSA), with ratio 128 all
are met (HCA), with 0 there is the window alone. Sizes: transformers, deepseek_v4.
"""

from dataclasses import dataclass
from fractions import Fraction

from configs.shapes.index import Index
from configs.shapes.weight import Weight, matrix, vector


@dataclass(frozen=True, slots=True)
class Compressed:
    """out_groups, out_rank   the output projection: each group of heads to `out_rank` numbers, and
    all of these to the hidden width. `index` is there exactly where entries overlap.
    """

    heads: int
    head_dim: int
    q_rank: int
    window: int
    out_groups: int
    out_rank: int
    ratio: int
    index: Index | None = None

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """One layer's."""
        width, mixed = self.heads * self.head_dim, self.out_groups * self.out_rank
        return (
            *matrix("attn.wq_a", self.q_rank, hidden, "attention"),
            *matrix("attn.wq_b", width, self.q_rank, "attention"),
            *matrix("attn.wkv", self.head_dim, hidden, "attention"),
            *matrix("attn.wo_a", mixed, width // self.out_groups, "attention"),
            *matrix("attn.wo_b", hidden, mixed, "attention"),
            *vector("attn.norms", self.q_rank + self.head_dim),
            *vector("attn.attn_sink", self.heads),
            *self._compressor(hidden, self.head_dim, "attn.compressor."),
            *self._indexer(hidden),
        )

    def _compressor(self, hidden: int, dim: int, prefix: str) -> tuple[Weight, ...]:
        """Makes one entry of `ratio` tokens; two series of them where they overlap."""
        if not self.ratio:
            return ()
        width = dim if self.index is None else 2 * dim
        return (
            *matrix(f"{prefix}wkv", width, hidden, "attention"),
            *matrix(f"{prefix}wgate", width, hidden, "attention"),
            *vector(f"{prefix}ape", self.ratio * width),
            *vector(f"{prefix}norm", dim),
        )

    def _indexer(self, hidden: int) -> tuple[Weight, ...]:
        """Its keys are compressed entries of its own."""
        index = self.index
        if index is None:
            return ()
        return (
            *matrix("attn.indexer.wq_b", index.heads * index.dim, self.q_rank, "index"),
            *matrix("attn.indexer.weights_proj", index.heads, hidden, "index"),
            *self._compressor(hidden, index.dim, "attn.indexer.compressor."),
        )

    @property
    def entry_numbers(self) -> Fraction:
        """That one token leaves: its own vector, and its part of a compressed entry."""
        part = Fraction(self.head_dim, self.ratio) if self.ratio else Fraction(0)
        return self.head_dim + part

    def entries(self, context: int) -> int:
        return min(context, self.window) + self.compressed(context)

    def compressed(self, context: int) -> int:
        """Entries of so many tokens, beside the window's."""
        return context // self.ratio if self.ratio else 0

    def pairs(self, context: int) -> int:
        past = self.compressed(context)
        chosen = past if self.index is None else min(past, self.index.top_k)
        return min(context, self.window) + chosen

    @property
    def pair_macs(self) -> int:
        return 2 * self.heads * self.head_dim

    def __str__(self) -> str:
        if not self.ratio:
            return f"MQA, window of {self.window:,}"
        kind = "HCA" if self.index is None else f"CSA, best {self.index.top_k:,}"
        return f"{kind}, 1 entry for {self.ratio} tokens, window of {self.window:,}"
