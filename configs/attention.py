"""The two shapes of attention that models have, and what follows from their sizes.

`Gqa` keeps keys and values of some heads for each token. `Mla` (multi-head latent attention,
DeepSeek-V2, arXiv 2405.04434, section 2.1) keeps one latent from which all heads' keys and values
would come, and beside it one rotated key that all heads share. We never expand the latent: the
projections up from it are applied to the query and to the mixed latents instead ("absorbed"), which
is the same sum in another order.
"""

from dataclasses import dataclass
from typing import Any

# A projection's name in a layer, as transformers has it, and its rows (out) and columns (in).
Matrix = tuple[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Window:
    """Of a layer whose queries meet some of the keys before them alone.

    tokens    that a query meets at most, itself among them
    chunked   they are those of its chunk, which begins at a multiple of `tokens` (Llama-4)
    """

    tokens: int
    chunked: bool = False

    def first(self, position: Any) -> Any:
        """The first token that the query at a position, or at each of an array, meets."""
        if self.chunked:
            return position // self.tokens * self.tokens
        first = position - self.tokens + 1
        return first * (first > 0)


@dataclass(frozen=True, slots=True)
class Gqa:
    """Grouped-query attention with normed queries and keys, as in Qwen3."""

    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int

    @property
    def query_width(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """One layer's projections."""
        return (
            ("q_proj", (self.query_width, self.hidden)),
            ("k_proj", (self.kv_width, self.hidden)),
            ("v_proj", (self.kv_width, self.hidden)),
            ("o_proj", (self.hidden, self.query_width)),
        )

    @property
    def num_weights(self) -> int:
        """Of one layer's projections; each is multiplied once for each token."""
        return 2 * self.hidden * (self.query_width + self.kv_width)

    @property
    def num_gains(self) -> int:
        """Of the norms within one layer's attention."""
        return 2 * self.head_dim

    @property
    def cache_width(self) -> int:
        """Numbers that one token leaves in one layer's KV cache."""
        return 2 * self.kv_width

    @property
    def pair_products(self) -> int:
        """Multiply-adds where one query meets one key: scores, then the share of the values."""
        return 2 * self.query_width


@dataclass(frozen=True, slots=True)
class Mla:
    """Multi-head latent attention, as in DeepSeek-V2 and V3.

    q_rank       width of the queries' latent; None where they are projected in one step
    kv_rank      width of the latent of keys and values
    nope_dim     of a head's query and key, the part without positions
    rope_dim     the part that is rotated (even); the key's is shared by all heads
    value_dim    width of a head's values
    interleaved  rotated numbers stand in pairs (0, 1), (2, 3), ..., else in halves
    """

    hidden: int
    num_heads: int
    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    interleaved: bool = True

    @property
    def head_dim(self) -> int:
        """Width of a head's queries and keys."""
        return self.nope_dim + self.rope_dim

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """One layer's projections."""
        queries = self.num_heads * self.head_dim
        both = self.num_heads * (self.nope_dim + self.value_dim)
        if self.q_rank is None:
            first: tuple[Matrix, ...] = (("q_proj", (queries, self.hidden)),)
        else:
            down, up = (self.q_rank, self.hidden), (queries, self.q_rank)
            first = (("q_a_proj", down), ("q_b_proj", up))
        return (
            *first,
            ("kv_a_proj_with_mqa", (self.cache_width, self.hidden)),
            ("kv_b_proj", (both, self.kv_rank)),
            ("o_proj", (self.hidden, self.num_heads * self.value_dim)),
        )

    @property
    def num_weights(self) -> int:
        """Of one layer's projections; each is multiplied once for each token."""
        queries = self.num_heads * self.head_dim
        down = 0 if self.q_rank is None else self.hidden * self.q_rank
        up = (self.q_rank or self.hidden) * queries
        heads = self.num_heads * self.kv_rank * (self.nope_dim + self.value_dim)
        out = self.num_heads * self.value_dim * self.hidden
        return down + up + self.hidden * self.cache_width + heads + out

    @property
    def num_gains(self) -> int:
        """Of the norms within one layer's attention."""
        return (self.q_rank or 0) + self.kv_rank

    @property
    def cache_width(self) -> int:
        """Numbers that one token leaves in one layer's KV cache: its latent and rotated key."""
        return self.kv_rank + self.rope_dim

    @property
    def pair_products(self) -> int:
        """Multiply-adds where one query meets one key: scores, then the share of the latent."""
        return self.num_heads * (2 * self.kv_rank + self.rope_dim)
