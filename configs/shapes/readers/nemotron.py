"""NVIDIA's: Nemotron-H and 3 (state spaces, attention and experts, one a layer), and Nemotron-NAS
(Llama whose layers a search has thinned).
"""

from dataclasses import replace
from typing import Any

from configs.families.keys import WALKED_MAX
from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.layer import LayerShape, Mixer
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import around, kv_heads, top_k
from configs.shapes.readers.moe import num_experts
from configs.shapes.shape import ModelShape
from configs.shapes.state import Mamba2

_KINDS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
# As transformers 5 writes them.
_LATER = {"linear_attention": "mamba", "full_attention": "attention"}
# DeciLM's widths are rounded up to a multiple of it.
_MULTIPLE = 256


def read_h(given: Given) -> ModelShape:
    """A layer is a state space, attention, a network or experts, with one norm."""
    hidden, kinds = given.size("hidden_size"), _kinds(given)
    known: dict[str, LayerShape] = {}
    for kind in dict.fromkeys(kinds):
        mixer: Mixer | None = None
        network: Network | None = None
        if kind == "mamba":
            mixer = _mamba(given)
        elif kind == "attention":
            mixer = _attention(given)
        elif kind == "mlp":
            bias = given.is_on("mlp_bias")
            network = Dense(
                given.size("intermediate_size"), gated=False, bias=bias, prefix="mixer."
            )
        else:
            network = _moe(given)
        known[kind] = LayerShape(mixer, network, hidden)
    shape = around(given, [known[kind] for kind in kinds])
    more = given.more_layers("num_nextn_predict_layers")
    given.pass_over("mtp_hybrid_override_pattern", "mtp_layers_block_type", "expand", "n_groups")
    given.pass_over("intermediate_size", "num_hidden_layers")
    notes = (f"{more} layers for multi-token prediction are not counted",) if more else ()
    return replace(shape, notes=notes)


def _kinds(given: Given) -> list[str]:
    """Of each layer, by its letter or its name."""
    key = given.first("layers_block_type", "layer_types")
    names: Any = given.values.get(key)
    if names is not None:
        if not isinstance(names, list) or not 1 <= len(names) <= WALKED_MAX:
            raise given.error(key, names, "it must be a list of layers' kinds")
        found = given.each(key, len(names), *_KINDS.values(), *_LATER) or []
        return [_LATER.get(kind, kind) for kind in found]
    pattern: Any = given.values.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or not pattern or set(pattern) - set(_KINDS):
        right = f"it must be a text of {', '.join(_KINDS)}, one a layer"
        raise given.error("hybrid_override_pattern", pattern, right)
    count = given.num_layers()
    if len(pattern) != count:
        raise given.error("num_hidden_layers", count, f"the pattern has {len(pattern)} layers")
    return [_KINDS[letter] for letter in pattern]


def _mamba(given: Given) -> Mamba2:
    return Mamba2(
        given.size("mamba_num_heads"),
        given.size("mamba_head_dim"),
        given.size("ssm_state_size"),
        given.size("n_groups", default=8),
        given.size("conv_kernel", default=4),
        given.is_on("use_conv_bias", True),
        given.is_on("use_bias"),
    )


def _attention(given: Given) -> Full:
    heads = given.size("num_attention_heads")
    dim = given.size("attention_head_dim", "head_dim")
    return Full(heads, kv_heads(given, heads), dim)


def _moe(given: Given) -> Moe:
    """Experts without gates, on rows of a narrower width where there is one."""
    experts = num_experts(given, "n_routed_experts")
    given.require("mlp_bias", False, "it must be false: no biases of experts are known")
    return Moe(
        experts,
        top_k(given, experts),
        given.size("moe_intermediate_size"),
        given.size("moe_shared_expert_intermediate_size")
        * given.size_or_zero("n_shared_experts", default=1),
        gated=False,
        choice_bias=True,
        latent=given.size_or_zero("moe_latent_size"),
        prefix="mixer.",
    )


def read_nas(given: Given) -> ModelShape:
    """Each layer's own key heads and width; either block may be missing, and its norm with it."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    blocks: Any = given.values.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != count:
        raise given.error("block_configs", blocks, f"it must be a list of {count} objects")
    given.require("attention_bias", False, "it must be false")
    given.require("mlp_bias", False, "it must be false")
    layers = []
    for i, block in enumerate(blocks):
        inside = Given(given.path, block if isinstance(block, dict) else {}, f"block_configs.{i}.")
        attention, network = _nas_attention(given, inside), _nas_network(inside, hidden)
        gains = hidden * ((attention is not None) + (network is not None))
        layers.append(LayerShape(attention, network, gains))
    return around(given, layers)


def _nas_attention(given: Given, block: Given) -> Full | None:
    part = _part(block, "attention")
    if part is None:
        return None
    heads = given.size("num_attention_heads")
    group = part.size("n_heads_in_group")
    if heads % group:
        raise part.error("n_heads_in_group", group, f"it must divide the {heads} query heads")
    window = part.size("window_length") if "window_length" in part.values else None
    return Full(heads, heads // group, given.size("hidden_size") // heads, window=window)


def _nas_network(block: Given, hidden: int) -> Dense | None:
    part = _part(block, "ffn")
    if part is None:
        return None
    inner = int(2 * part.number("ffn_mult") * hidden / 3)
    return Dense(-(-inner // _MULTIPLE) * _MULTIPLE)


def _part(block: Given, name: str) -> Given | None:
    part = block.within(name)
    if part is None:
        raise block.missing(name, "it must be an object")
    for key in ("replace_with_linear", "sparsify", "num_sink_tokens"):
        if part.values.get(key):
            raise part.error(key, part.values[key], "it must be false or null: it is not described")
    return None if part.is_on("no_op") else part
