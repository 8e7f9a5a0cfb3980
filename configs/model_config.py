"""What a model is: the config.json of a Hugging Face folder, checked before anything is started.

`configs/families/` reads the files, one module for each family; here is what they say, and what
follows from the sizes. A configuration that asks for more than we compute is refused with its key;
nothing is ignored in silence that would change a token.
"""

from dataclasses import dataclass, replace
from typing import Self

from configs.attention import Gqa, Matrix, Mla, Window
from configs.fp8 import Fp8
from configs.gate import PLAIN_GATE, Gate
from configs.rope import Yarn


def gated(hidden: int, inner: int) -> tuple[Matrix, ...]:
    """Projections of a gated network."""
    return (
        ("gate_proj", (inner, hidden)),
        ("up_proj", (inner, hidden)),
        ("down_proj", (hidden, inner)),
    )


def share_of(count: int, share: tuple[int, int]) -> int:
    """So many of so many: of 12, with 2 of 8, 3."""
    return count * share[0] // share[1]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes and constants of one mixture-of-experts model; `configs.families` reads it.

    architecture      class name in config.json, e.g. "Qwen3MoeForCausalLM"
    dtype             of the weights as stored ("float32", "bfloat16", "float16")
    hidden            width of the residual stream        num_layers    decoder layers
    num_heads         query heads                         num_kv_heads  key/value heads, a divisor
    head_dim          width of a head's query and key     vocab         rows of the embedding
    num_experts       experts of a sparse layer           top_k         experts that a token visits
    moe_intermediate  inner width of an expert            max_context   positions, prompt and answer
    norm_topk_prob    the chosen experts' weights are scaled to sum to one
    tie_embeddings    the vocabulary projection is the embedding
    eos_token_ids     any of these ends an answer; may be empty
    gate              how experts are chosen              mla           sizes of latent attention;
    yarn              stretched rotary positions                        None: grouped-query
    fp8               how matrices are stored where that is not `dtype`
    dense_layers      so many first layers have no experts but one dense network
    dense_intermediate, shared_intermediate   inner width of that network, and of the experts that
                      every token of a sparse layer visits (all of them together); 0 where none
    """

    architecture: str
    dtype: str
    hidden: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_experts: int
    top_k: int
    moe_intermediate: int
    vocab: int
    rope_theta: float
    rms_eps: float
    norm_topk_prob: bool
    tie_embeddings: bool
    max_context: int
    eos_token_ids: tuple[int, ...] = ()
    gate: Gate = PLAIN_GATE
    mla: Mla | None = None
    yarn: Yarn | None = None
    dense_layers: int = 0
    dense_intermediate: int = 0
    shared_intermediate: int = 0
    fp8: Fp8 | None = None

    def with_layers(self, layers: range) -> Self:
        """The sizes of a model that has these layers alone, numbered from 0."""
        dense = len(range(layers.start, min(layers.stop, self.dense_layers)))
        return replace(self, num_layers=len(layers), dense_layers=dense)

    def with_heads(self, num_heads: int, num_kv_heads: int) -> Self:
        """The sizes of a model that has so many heads, and the same share of what networks beside
        the experts have inside. A latent stays whole.
        """
        share = num_heads, self.num_heads
        mla = None if self.mla is None else replace(self.mla, num_heads=num_heads)
        return replace(
            self,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads if mla is None else num_heads,
            mla=mla,
            dense_intermediate=share_of(self.dense_intermediate, share),
            shared_intermediate=share_of(self.shared_intermediate, share),
        )

    # Byte counts: pure arithmetic for placement, capacity checks and declared work.

    @property
    def query_width(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.num_kv_heads * self.head_dim

    @property
    def num_kv_units(self) -> int:
        """Into how many parts the keys of a token can be sharded: KV heads, or one latent."""
        return 1 if self.mla is not None else self.num_kv_heads

    @property
    def attention(self) -> Gqa | Mla:
        """What follows from the shape of attention."""
        if self.mla is not None:
            return self.mla
        return Gqa(self.hidden, self.num_heads, self.num_kv_heads, self.head_dim)

    @property
    def num_sparse_layers(self) -> int:
        """Layers that have experts: those after the dense ones."""
        return self.num_layers - self.dense_layers

    def is_dense(self, layer: int) -> bool:
        return layer < self.dense_layers

    def pairs(self, layer: int, start: int, count: int) -> int:
        """Of so many new tokens' queries with keys; `start` tokens were there before. Causal: the
        i-th of them (from 0) meets start + i + 1.
        """
        return count * start + count * (count + 1) // 2

    def met(self, layer: int, start: int, count: int) -> int:
        """Tokens whose keys some of these queries meet."""
        return start + count

    def index_bytes(self, number_bytes: int) -> int:
        """What one token leaves in one layer for an index that chooses keys, beside a cache whose
        numbers have so many bytes.
        """
        return 0

    def index_macs(self, layer: int, start: int, count: int) -> int:
        """Multiply-adds where index queries of these tokens meet index keys; all of these are
        read.
        """
        return 0

    def window_of(self, layer: int) -> Window | None:
        """What bounds the keys that a layer's queries meet; None: they meet all before them."""
        return None

    @property
    def has_windows(self) -> bool:
        """Whether queries of some layer do not meet all keys before them."""
        return any(self.window_of(layer) is not None for layer in range(self.num_layers))

    def is_state(self, layer: int) -> bool:
        """Whether a sequence leaves a state of fixed size in a layer, not keys and values."""
        return False

    @property
    def num_kv_layers(self) -> int:
        """Layers in which each token leaves keys and values."""
        return self.num_layers

    @property
    def has_states(self) -> bool:
        return self.num_kv_layers < self.num_layers

    @property
    def state_parts(self) -> int:
        """Heads of a state, as far as they can be cut alike; 0 without states."""
        return 0

    def state_bytes(self, layer: int, number_bytes: int) -> int:
        """A sequence's state in one layer, and inputs of its short convolution in numbers of so
        many bytes.
        """
        return 0

    def state_flops(self, layer: int) -> int:
        """Where a token meets a state."""
        return 0

    def kind_of(self, layer: int) -> int:
        """A number for each kind of layer; those of one kind ask for the same work."""
        return int(self.is_dense(layer))

    def kv_bytes_per_token(self, dtype_bytes: int) -> int:
        """What one token leaves in the KV cache of all layers."""
        layer = self.attention.cache_width * dtype_bytes + self.index_bytes(dtype_bytes)
        return self.num_kv_layers * layer

    def expert_bytes(self, dtype_bytes: int) -> int:
        """Gate, up and down projection of one expert of one layer."""
        return 3 * self.hidden * self.moe_intermediate * dtype_bytes

    def layer_matrices(self, layer: int) -> tuple[Matrix, ...]:
        """A chip's projections in one layer, by their names in it: those of attention, and of a
        dense network or the shared experts.
        """
        attention = tuple((f"self_attn.{name}", shape) for name, shape in self.attention.matrices)
        prefix, inner = "mlp.shared_experts.", self.shared_intermediate
        if self.is_dense(layer):
            prefix, inner = "mlp.", self.dense_intermediate
        projections = gated(self.hidden, inner) if inner else ()
        return (*attention, *((prefix + name, shape) for name, shape in projections))

    @property
    def expert_matrices(self) -> tuple[Matrix, ...]:
        """Projections of one expert; a name stands for all of them."""
        projections = gated(self.hidden, self.moe_intermediate)
        return tuple((f"mlp.experts.{name}", shape) for name, shape in projections)

    def layer_weights(self, layer: int) -> int:
        """Weights of a chip's matrices in one layer, each multiplied once for each token: those of
        attention, and a dense network or the router's gate and the shared experts.
        """
        if self.is_dense(layer):
            network = 3 * self.dense_intermediate
        else:
            network = self.num_experts + 3 * self.shared_intermediate
        return self.attention.num_weights + self.hidden * network

    def layer_bytes(self, layer: int, dtype_bytes: int) -> int:
        """What a chip reads for one layer: its matrices, the norms and the bias of the choice."""
        has_bias = self.gate.has_bias and not self.is_dense(layer)
        bias = self.num_experts if has_bias else 0
        norms = 2 * self.hidden + self.attention.num_gains
        return (self.layer_weights(layer) + norms + bias) * dtype_bytes

    def head_bytes(self, dtype_bytes: int) -> int:
        """The vocabulary projection (whether or not it is the embedding)."""
        return self.vocab * self.hidden * dtype_bytes

    def chip_bytes(self, dtype_bytes: int) -> int:
        """All that a chip owns: the layers without experts, embedding, final norm and head."""
        matrices = 1 if self.tie_embeddings else 2
        layers = sum(self.layer_bytes(layer, dtype_bytes) for layer in range(self.num_layers))
        return layers + matrices * self.head_bytes(dtype_bytes) + self.hidden * dtype_bytes

    def shard_bytes(self, num_experts: int, dtype_bytes: int) -> int:
        """So many experts of every sparse layer."""
        return num_experts * self.num_sparse_layers * self.expert_bytes(dtype_bytes)

    def total_bytes(self, dtype_bytes: int) -> int:
        """All weights: chip and every expert of every layer."""
        return self.chip_bytes(dtype_bytes) + self.shard_bytes(self.num_experts, dtype_bytes)
