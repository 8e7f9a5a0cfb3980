"""Attention that keeps keys and values, and what follows from its sizes.

`entries` are what a sequence keeps in one layer: one a token, at most a window's. `pairs` is how
many of them queries meet; `pair_macs` what each costs. Index keys are apart.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from configs.shapes.causal import capped
from configs.shapes.index import Index
from configs.shapes.weight import Weight, matrix, vector


@dataclass(frozen=True, slots=True)
class Full:
    """Multi-head or grouped-query attention, over all tokens or over a window of them.

    value_dim    of a head; 0: as head_dim
    window       tokens that a query meets, itself among them; None: all before it
    chunked      the window is a chunk that begins at a multiple of it (Llama-4)
    bias, out_bias   of the projections of queries, keys and values; of the output
    norm         gains of normed queries and keys: one for a head's width, for all heads', or none
    gate         "values": each output is gated, by as many numbers again as the queries have;
                 "heads": one number a head
    sinks        a learned number for each head in the softmax
    keys_too     values come from the keys' projection; both are kept
    borrows      keys and values are those of an earlier layer
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int = 0
    window: int | None = None
    chunked: bool = False
    bias: bool = False
    out_bias: bool = False
    norm: Literal["head", "whole", None] = None
    gate: Literal["values", "heads", None] = None
    sinks: bool = False
    keys_too: bool = False
    borrows: bool = False
    index: Index | None = None

    @property
    def value_width(self) -> int:
        return self.value_dim or self.head_dim

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """One layer's."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        values, outputs = self.kv_heads * self.value_width, self.heads * self.value_width
        gate = {"values": outputs, "heads": self.heads, None: 0}[self.gate]
        own_values = 0 if self.keys_too else values
        keys, values, own_values = (0, 0, 0) if self.borrows else (keys, values, own_values)
        biases = queries + keys + own_values if self.bias else 0
        index = () if self.index is None else self.index.weights(hidden, "self_attn.")
        return (
            *matrix("self_attn.q_proj", queries, hidden, "attention"),
            *matrix("self_attn.k_proj", keys, hidden, "attention"),
            *matrix("self_attn.v_proj", own_values, hidden, "attention"),
            *matrix("self_attn.g_proj", gate, hidden, "attention"),
            *matrix("self_attn.o_proj", hidden, outputs, "attention"),
            *vector("self_attn.biases", biases + (hidden if self.out_bias else 0)),
            *vector("self_attn.norms", self._gains(queries, keys)),
            *vector("self_attn.sinks", self.heads if self.sinks else 0),
            *index,
        )

    def _gains(self, queries: int, keys: int) -> int:
        if self.norm == "whole":
            return queries + keys
        return 0 if self.norm is None else self.head_dim * (1 if self.borrows else 2)

    @property
    def entry_numbers(self) -> int:
        """Of one entry; none where they are another layer's."""
        return 0 if self.borrows else self.kv_heads * (self.head_dim + self.value_width)

    @property
    def token_entries(self) -> Fraction:
        """That one token leaves."""
        return Fraction(1)

    @property
    def token_keys(self) -> Fraction:
        """Index keys that one token leaves."""
        return Fraction(0 if self.index is None else 1)

    def entries(self, context: int) -> int:
        """Kept of so many tokens."""
        return context if self.window is None else min(context, self.window)

    def keys(self, context: int) -> int:
        """Index keys kept of so many tokens."""
        return 0 if self.index is None else context

    def pairs(self, start: int, count: int) -> int:
        """Of the new tokens' queries with entries."""
        if self.index is not None:
            return capped(start, count, self.index.top_k)
        if self.window is not None and self.chunked:
            ends = range(start, start + count)
            return sum(position % self.window + 1 for position in ends)
        return capped(start, count, self.window)

    def scored(self, start: int, count: int) -> int:
        """Of the new tokens' index queries with index keys."""
        return 0 if self.index is None else capped(start, count)

    def met(self, start: int, count: int) -> int:
        """Entries that some query of the new tokens meets. The first of them meets a window before
        itself as well.
        """
        context = start + count
        if self.index is not None:
            return min(context, count * min(context, self.index.top_k))
        if self.window is None:
            return context
        if self.chunked:
            return context - start // self.window * self.window
        return min(context, self.window + count - 1)

    def written(self, start: int, count: int) -> int:
        """Entries of the new tokens, also where a window lets them go."""
        return count

    @property
    def pair_macs(self) -> int:
        """Scores, then the share of the values."""
        return self.heads * (self.head_dim + self.value_width)

    def __str__(self) -> str:
        kind = "MHA" if self.kv_heads == self.heads else f"GQA {self.heads}/{self.kv_heads}"
        span = "" if self.window is None else f", {self._span} of {self.window:,}"
        sparse = "" if self.index is None else f", best {self.index.top_k:,} of all"
        return f"{kind}{span}{sparse}"

    @property
    def _span(self) -> str:
        return "chunks" if self.chunked else "window"


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1), the projections up
    from the latent absorbed into queries and outputs. Widths as in `configs.attention.Mla`.

    gated   outputs are gated by as many numbers again (Kimi-K3)
    """

    heads: int
    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    gated: bool = False
    index: Index | None = None

    def weights(self, hidden: int) -> tuple[Weight, ...]:
        """One layer's."""
        queries = self.heads * (self.nope_dim + self.rope_dim)
        both = self.heads * (self.nope_dim + self.value_dim)
        outputs = self.heads * self.value_dim
        rank = self.q_rank or 0
        first = "self_attn.q_b_proj" if rank else "self_attn.q_proj"
        index = () if self.index is None else self.index.weights(hidden, "self_attn.")
        return (
            *matrix("self_attn.q_a_proj", rank, hidden, "attention"),
            *matrix(first, queries, rank or hidden, "attention"),
            *matrix("self_attn.kv_a_proj_with_mqa", self.entry_numbers, hidden, "attention"),
            *matrix("self_attn.kv_b_proj", both, self.kv_rank, "attention"),
            *matrix("self_attn.g_proj", outputs if self.gated else 0, hidden, "attention"),
            *matrix("self_attn.o_proj", hidden, outputs, "attention"),
            *vector("self_attn.norms", rank + self.kv_rank),
            *index,
        )

    @property
    def entry_numbers(self) -> int:
        """Of one entry: a token's latent and rotated key."""
        return self.kv_rank + self.rope_dim

    @property
    def token_entries(self) -> Fraction:
        return Fraction(1)

    @property
    def token_keys(self) -> Fraction:
        return Fraction(0 if self.index is None else 1)

    def entries(self, context: int) -> int:
        return context

    def keys(self, context: int) -> int:
        return 0 if self.index is None else context

    def pairs(self, start: int, count: int) -> int:
        return capped(start, count, None if self.index is None else self.index.top_k)

    def scored(self, start: int, count: int) -> int:
        return 0 if self.index is None else capped(start, count)

    def met(self, start: int, count: int) -> int:
        context = start + count
        if self.index is None:
            return context
        return min(context, count * min(context, self.index.top_k))

    def written(self, start: int, count: int) -> int:
        return count

    @property
    def pair_macs(self) -> int:
        return self.heads * (2 * self.kv_rank + self.rope_dim)

    def __str__(self) -> str:
        sparse = "" if self.index is None else f", best {self.index.top_k:,} of all"
        return f"MLA {self.kv_rank} + {self.rope_dim}{sparse}"
