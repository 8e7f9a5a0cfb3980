"""DeepSeek-V4's attention: a window of tokens, and all of the past in compressed entries.

Keys and values are one vector of `head_dim` that all heads share. Every `ratio` tokens become one
entry more; with ratio 4 entries overlap and an index chooses among them (CSA), with ratio 128 all
are met (HCA), with 0 there is the window alone. Sizes: transformers, deepseek_v4.
"""

from dataclasses import dataclass
from fractions import Fraction

from configs.shapes.causal import capped, grouped
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
    def entry_numbers(self) -> int:
        """Of one entry, a token's own or a compressed one."""
        return self.head_dim

    @property
    def token_entries(self) -> Fraction:
        """That one token leaves: its own, and its part of a compressed one."""
        return Fraction(1) + (Fraction(1, self.ratio) if self.ratio else 0)

    @property
    def token_keys(self) -> Fraction:
        """Index keys are compressed as well."""
        return Fraction(0) if self.index is None else Fraction(1, self.ratio)

    def entries(self, context: int) -> int:
        return min(context, self.window) + self._compressed(context)

    def keys(self, context: int) -> int:
        return 0 if self.index is None else self._compressed(context)

    def _compressed(self, context: int) -> int:
        """Entries of so many tokens, beside the window's."""
        return context // self.ratio if self.ratio else 0

    def pairs(self, start: int, count: int) -> int:
        near = capped(start, count, self.window)
        if not self.ratio:
            return near
        most = None if self.index is None else self.index.top_k
        return near + grouped(start, count, self.ratio, most)

    def scored(self, start: int, count: int) -> int:
        return 0 if self.index is None else grouped(start, count, self.ratio)

    def met(self, start: int, count: int) -> int:
        context = start + count
        past = self._compressed(context)
        if self.index is not None:
            past = min(past, count * min(past, self.index.top_k))
        return min(context, self.window + count - 1) + past

    def written(self, start: int, count: int) -> int:
        return count + self._compressed(start + count) - self._compressed(start)

    @property
    def pair_macs(self) -> int:
        return 2 * self.heads * self.head_dim

    def __str__(self) -> str:
        if not self.ratio:
            return f"MQA, window of {self.window:,}"
        kind = "HCA" if self.index is None else f"CSA, best {self.index.top_k:,}"
        return f"{kind}, 1 entry for {self.ratio} tokens, window of {self.window:,}"
