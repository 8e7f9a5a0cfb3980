"""A model as sizes alone: its layers one by one, and what is before and after them.

Whatever can be said without weights is arithmetic on this: parameters, stored bytes, KV, state.
Work of a step is in `configs/shapes/work.py`, bytes by placement in `configs/shapes/placement.py`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil

from configs.shapes.layer import LayerShape
from configs.shapes.network import Moe
from configs.shapes.state import DeltaNet, Kda, Mamba2
from configs.shapes.storage import Storage
from configs.shapes.weight import Weight, numbers, numbers_used, vector

STATE_BYTES = 4  # of a state's numbers: fp32, as all engines keep it


@dataclass(frozen=True, slots=True)
class ModelShape:
    """architecture   class name in config.json
    layers       decoder layers, in order           mtp   those for multi-token prediction, which
    are not part of the model and counted apart
    mtp_extra    weights of each of these beside its layer
    final        gains of the last norm             extra   whatever else stands outside of layers
    tied         the vocabulary projection is the embedding
    max_context  positions, prompt and answer       notes   what the sizes leave out or assume
    """

    architecture: str
    hidden: int
    vocab: int
    layers: tuple[LayerShape, ...]
    tied: bool
    storage: Storage
    max_context: int
    final: int
    head_bias: bool = False
    extra: tuple[Weight, ...] = ()
    mtp: tuple[LayerShape, ...] = ()
    mtp_extra: tuple[Weight, ...] = ()
    notes: tuple[str, ...] = ()
    _lists: dict[int, tuple[Weight, ...]] = field(default_factory=dict, compare=False, repr=False)
    _layers: dict[str, tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)

    def part(self, layers: range) -> "ModelShape":
        """These layers alone. What is stored in another way in some layers has to be the same in
        all (`Storage.same_in_all_layers`): their numbers change.
        """
        some = self.layers[layers.start : layers.stop]
        return replace(self, layers=some, _lists={}, _layers={})

    def cut(self, heads: int, kv_heads: int, of: int) -> "ModelShape":
        """So many of `of` heads of each layer, all layers having the same, and the same share of
        states and of networks beside experts.
        """
        some = tuple(layer.cut(heads, kv_heads, of) for layer in self.layers)
        return replace(self, layers=some, _lists={}, _layers={})

    # What a placement and a digest model ask, by the names of ModelConfig.

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def sparse_layers(self) -> tuple[int, ...]:
        """Layers that have experts."""
        if "sparse" not in self._layers:
            found = (i for i, layer in enumerate(self.layers) if layer.moe is not None)
            self._layers["sparse"] = tuple(found)
        return self._layers["sparse"]

    def first_like(self, layer: int) -> int:
        """The first layer of the same kind."""
        if "first" not in self._layers:
            firsts: dict[LayerShape, int] = {}
            found = (firsts.setdefault(each, i) for i, each in enumerate(self.layers))
            self._layers["first"] = tuple(found)
        return self._layers["first"][layer]

    def is_dense(self, layer: int) -> bool:
        return self.layers[layer].moe is None

    @property
    def num_experts(self) -> int:
        """Of a sparse layer, the most that one has; 0 for a dense model."""
        return max((self._moe(i).num_experts for i in self.sparse_layers), default=0)

    @property
    def top_k(self) -> int:
        return max((self._moe(i).top_k for i in self.sparse_layers), default=0)

    def _moe(self, layer: int) -> Moe:
        moe = self.layers[layer].moe
        assert moe is not None
        return moe

    # Parameters.

    def weights(self, layer: int) -> tuple[Weight, ...]:
        """One layer's."""
        if layer not in self._lists:
            self._lists[layer] = self.layers[layer].weights(self.hidden)
        return self._lists[layer]

    def outside(self) -> tuple[Weight, ...]:
        """What stands outside of layers: the embedding, the last norm, the vocabulary projection,
        which a tied embedding is as well.
        """
        shape = self.vocab, self.hidden
        own = Weight("lm_head", *shape, "head")
        table = Weight("model.embed_tokens", *shape, "embedding", used=0, added=True)
        both = (own,) if self.tied else (table, own)
        bias = vector("lm_head.bias", self.vocab if self.head_bias else 0)
        return (*both, *vector("model.norm", self.final), *bias, *self.extra)

    def all_weights(self) -> Iterator[tuple[int | None, Weight]]:
        """Each with its layer, None outside of layers."""
        for layer in range(self.num_layers):
            for weight in self.weights(layer):
                yield layer, weight
        for weight in self.outside():
            yield None, weight

    @property
    def parameters(self) -> int:
        """All of them, but what multi-token prediction has."""
        return numbers(weight for _, weight in self.all_weights())

    @property
    def active(self) -> int:
        """Those that compute one token: all but other experts and an embedding that is not the
        vocabulary projection too.
        """
        return numbers_used(weight for _, weight in self.all_weights())

    @property
    def active_with_embedding(self) -> int:
        """The same and the embedding, as many publishers count."""
        return self.active + (0 if self.tied else self.vocab * self.hidden)

    @property
    def embeddings(self) -> int:
        """Of the embedding and the vocabulary projection."""
        return (1 if self.tied else 2) * self.vocab * self.hidden

    @property
    def mtp_parameters(self) -> int:
        each = numbers(self.mtp_extra) * len(self.mtp)
        return each + sum(numbers(layer.weights(self.hidden)) for layer in self.mtp)

    # Bytes.

    @property
    def stored_bytes(self) -> int:
        """All weights as the published files have them, but what multi-token prediction has."""
        layers: Counter[LayerShape] = Counter()
        if self.storage.same_in_all_layers:
            layers.update(self.layers)
            alike = {layer: i for i, layer in enumerate(self.layers)}
            inside = sum(count * self.layer_bytes(alike[layer]) for layer, count in layers.items())
        else:
            inside = sum(self.layer_bytes(layer) for layer in range(self.num_layers))
        return inside + sum(self.storage.num_bytes(None, weight) for weight in self.outside())

    def layer_bytes(self, layer: int) -> int:
        """One layer's weights as stored."""
        return sum(self.storage.num_bytes(layer, weight) for weight in self.weights(layer))

    def kv_bytes_per_token(self, number_bytes: int = 2) -> int:
        """What one token leaves in the KV cache of all layers, index keys with it, in numbers of so
        many bytes: in layers of a window, too, where an older token's then go (the convention of
        published figures).
        """
        each = range(self.num_layers)
        return ceil(sum(self.kv_layer_token_bytes(layer, number_bytes) for layer in each))

    def kv_layer_token_bytes(self, layer: int, number_bytes: int = 2) -> Fraction:
        """Of one layer; a fraction where several tokens share an entry."""
        attention = self.layers[layer].attention
        if attention is None:
            return Fraction(0)
        index = attention.index
        keys = 0 if index is None else index.key_bytes(number_bytes)
        kept = attention.token_entries * attention.entry_numbers * number_bytes
        return kept + attention.token_keys * keys

    def kv_layer_bytes(self, layer: int, context: int, number_bytes: int = 2) -> int:
        """What a sequence of so many tokens keeps in one layer: windows are bounded."""
        attention = self.layers[layer].attention
        if attention is None:
            return 0
        index = attention.index
        keys = 0 if index is None else index.key_bytes(number_bytes)
        kept = attention.entries(context) * attention.entry_numbers * number_bytes
        return kept + attention.keys(context) * keys

    def kv_bytes(self, context: int, number_bytes: int = 2) -> int:
        """What a sequence of so many tokens keeps, without states."""
        each = range(self.num_layers)
        return sum(self.kv_layer_bytes(layer, context, number_bytes) for layer in each)

    def state_bytes(self, number_bytes: int = 2) -> int:
        """What a sequence keeps of fixed size: states in fp32, inputs of short convolutions in
        numbers of so many bytes.
        """
        each = range(self.num_layers)
        return sum(self.layer_state_bytes(layer, number_bytes) for layer in each)

    def layer_state_bytes(self, layer: int, number_bytes: int = 2) -> int:
        """The same of one layer."""
        mixer = self.layers[layer].mixer
        if not isinstance(mixer, DeltaNet | Kda | Mamba2):
            return 0
        return mixer.state_numbers * STATE_BYTES + mixer.conv_numbers * number_bytes

    def kinds(self) -> list[tuple[int, str]]:
        """Kinds of layers and how many there are of each, in the order of their first."""
        return [(count, kind) for kind, count in Counter(map(str, self.layers)).items()]
