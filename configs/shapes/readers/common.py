"""What most families' readers ask of a file."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.layer import LayerShape, Mixer
from configs.shapes.network import Network
from configs.shapes.shape import ModelShape
from configs.shapes.storage import Storage
from configs.shapes.weight import Weight, matrix, vector

FULL, SLIDING = "full_attention", "sliding_attention"
LINEAR, CHUNKED = "linear_attention", "chunked_attention"


def head_dim(given: Given, heads: int) -> int:
    """Of a head; without the key the hidden width is split among the heads."""
    if "head_dim" in given.values:
        return given.size("head_dim")
    hidden = given.size("hidden_size")
    if hidden % heads:
        right = f"without it hidden_size {hidden} must be a multiple of {heads} heads"
        raise given.missing("head_dim", right)
    return hidden // heads


def kv_heads(given: Given, heads: int, name: str = "num_key_value_heads") -> int:
    """A divisor of the query heads."""
    found = given.size(name, default=heads)
    if heads % found:
        raise given.error(name, found, f"it must divide the {heads} query heads")
    return found


def grouped(given: Given) -> Full:
    """Grouped-query attention by the usual keys."""
    heads = given.size("num_attention_heads")
    return Full(heads, kv_heads(given, heads), head_dim(given, heads))


def windowed(given: Given, attention: Full) -> list[Full]:
    """As Qwen has it: a window counts only where it is switched on, and from some layer on."""
    count = given.num_layers()
    types = given.each("layer_types", count, FULL, SLIDING)
    begin = given.size_or_zero("max_window_layers", default=count)
    is_on = given.is_on("use_sliding_window")
    given.pass_over("sliding_window")
    if types is None:
        types = [SLIDING if is_on and layer >= begin else FULL for layer in range(count)]
    window = given.size("sliding_window") if SLIDING in types else None
    near = replace(attention, window=window)
    return [near if kind == SLIDING else attention for kind in types]


def top_k(given: Given, experts: int, *names: str) -> int:
    name = given.first(*(names or ("num_experts_per_tok",)))
    found = given.size(name)
    if found > experts:
        raise given.error(name, found, f"it must be at most the number of experts, {experts}")
    return found


def stacked(
    mixers: Iterable[Mixer], networks: Iterable[Network], gains: int
) -> tuple[LayerShape, ...]:
    """Layers of a mixer and a network each, with norms of so many gains."""
    both = zip(mixers, networks, strict=True)
    return tuple(LayerShape(mixer, network, gains) for mixer, network in both)


def next_token_layer(hidden: int) -> tuple[Weight, ...]:
    """What a layer for multi-token prediction has beside its layer, as in DeepSeek-V3 (arXiv
    2412.19437, section 2.2): a projection of two rows to one, and three norms.
    """
    return (*matrix("eh_proj", hidden, 2 * hidden, "dense"), *vector("norms", 3 * hidden))


def around(given: Given, layers: Sequence[LayerShape], *, tied: bool = False) -> ModelShape:
    """The model around its layers; its name and how it is stored are set by the registry.

    tied   what a file without the key means
    """
    hidden = given.size("hidden_size")
    return ModelShape(
        architecture="",
        hidden=hidden,
        vocab=given.size("vocab_size"),
        layers=tuple(layers),
        tied=given.flag("tie_word_embeddings", tied),
        storage=Storage(),
        max_context=given.size("max_position_embeddings", default=2048),
        final=hidden,
    )
