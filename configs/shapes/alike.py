"""Whether all layers of a shape are alike enough for one cache, and one model of digests."""

from configs.shapes.attention import Full, Latent
from configs.shapes.formats import Format
from configs.shapes.index import Index
from configs.shapes.layer import Attention
from configs.shapes.network import Dense, Moe
from configs.shapes.shape import ModelShape
from configs.shapes.state import State


def hindrance(shape: ModelShape) -> str:
    """Why no config is made of a shape; empty where one is."""
    widths = set()
    for layer, each in enumerate(shape.layers):
        mixer = each.mixer
        if not isinstance(each.network, Dense | Moe) and isinstance(mixer, State | None):
            return f"has {mixer or 'no attention'} and no network in layer {layer}"
        if not isinstance(mixer, Full | Latent | State):
            kept = "nothing" if mixer is None else f"{mixer}, not keys and values of each token"
            return f"keeps {kept}, in layer {layer}: only its sizes are known"
        if isinstance(mixer, Full) and mixer.borrows:
            return f"has {mixer} in layer {layer}, of which keys are not kept alike"
        if isinstance(mixer, Full) and mixer.value_width != mixer.head_dim:
            return f"has keys and values of other widths in layer {layer}"
        if isinstance(mixer, Full | Latent):
            widths.add((type(mixer), mixer.heads, mixer.entry_numbers))
            if mixer.index != _index(shape):
                return f"has {mixer} in layer {layer}, with another index than in layer 0"
        if not isinstance(each.network, Dense | Moe):
            return f"has no network in layer {layer}"
        if isinstance(each.network, Moe) and (not each.network.gated or each.network.latent):
            return f"has experts of another kind in layer {layer}: {each.network}"
    if not widths:
        return "keeps states in all layers, and keys and values in none"
    if has_states(shape) and any(_is_bounded(each.attention) for each in shape.layers):
        return "keeps states in some layers and has a window or an index in others"
    if len(widths) > 1:
        return "has other heads in some layers than in others"
    if len(kinds(shape, Moe)) > 1 or len(kinds(shape, Dense)) > 1:
        return "has networks of several sizes"
    dense = [shape.is_dense(layer) for layer in range(shape.num_layers)]
    if dense != sorted(dense, reverse=True):
        return "has dense layers among those with experts, not before them"
    if len(formats(shape)) > 1 or not shape.storage.same_in_all_layers:
        return "has weights in several formats beside the wide one"
    return ""


def has_states(shape: ModelShape) -> bool:
    return any(isinstance(each.mixer, State) for each in shape.layers)


def first_attention(shape: ModelShape) -> Full | Latent:
    """Of the first layer that keeps keys and values; all others have as many heads."""
    found = (each.mixer for each in shape.layers)
    return next(mixer for mixer in found if isinstance(mixer, Full | Latent))


def _is_bounded(attention: Attention | None) -> bool:
    has_window = isinstance(attention, Full) and attention.window is not None
    return has_window or (attention is not None and attention.index is not None)


def _index(shape: ModelShape) -> Index | None:
    """Of the first layer that has attention."""
    found = (each.attention for each in shape.layers)
    first = next((attention for attention in found if attention is not None), None)
    return None if first is None else first.index


def kinds(shape: ModelShape, kind: type) -> set[object]:
    return {each.network for each in shape.layers if isinstance(each.network, kind)}


def formats(shape: ModelShape) -> dict[str, Format]:
    """Of matrices in layers that are not wide."""
    found = {}
    for layer in range(shape.num_layers):
        for weight in shape.weights(layer):
            chosen = shape.storage.of(layer, weight)
            if chosen != shape.storage.wide:
                found[chosen.name] = chosen
    return found
