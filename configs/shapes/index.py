"""What chooses the few keys that sparse attention meets: a small attention of its own.

DeepSeek Sparse Attention (DeepSeek-V3.2 report, section 2.1): every past token has one index key;
some index heads score all of them, and the best `top_k` tokens are attended to.
"""

from dataclasses import dataclass

from configs.shapes.weight import Weight, matrix, vector


@dataclass(frozen=True, slots=True)
class Index:
    """heads, dim     of its queries; one key of `dim` numbers a token serves all heads
    top_k          tokens that a query then meets
    query_rank     width of the latent that its queries come from; 0: from the hidden state
    gains          of its norms                weighs   heads are weighed by a projection
    own            False: the choice of an earlier layer is used, and nothing is kept or scored
    fp8            keys are kept in fp8 with an fp32 scale for each token, whatever the KV cache's
                   dtype (DeepSeek-V3.2-Exp, inference/model.py), else as that cache's numbers
    names          of the projections of queries, keys and weights
    """

    heads: int
    dim: int
    top_k: int
    query_rank: int = 0
    gains: int = 0
    weighs: bool = True
    own: bool = True
    fp8: bool = True
    names: tuple[str, str, str] = ("indexer.wq_b", "indexer.wk", "indexer.weights_proj")

    def weights(self, hidden: int, prefix: str) -> tuple[Weight, ...]:
        if not self.own:
            return ()
        queries, keys, weigher = (prefix + name for name in self.names)
        return (
            *matrix(queries, self.heads * self.dim, self.query_rank or hidden, "index"),
            *matrix(keys, self.dim, hidden, "index"),
            *vector(f"{prefix}index_norms", self.gains),
            *matrix(weigher, self.heads if self.weighs else 0, hidden, "index"),
        )

    @property
    def numbers(self) -> int:
        """Of one kept key."""
        return self.dim if self.own else 0

    @property
    def pair_macs(self) -> int:
        """Multiply-adds where one query meets one index key."""
        return self.heads * self.dim if self.own else 0

    def key_bytes(self, kv_bytes: int) -> int:
        """Of one kept key, beside a cache whose numbers have so many bytes."""
        if not self.own:
            return 0
        return self.dim + 4 if self.fp8 else self.dim * kv_bytes
