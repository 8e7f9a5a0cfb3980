"""Rotary positions in a config.json: plain, or stretched by YaRN.

Published folders have rope_theta and rope_scaling; transformers 5 writes both into rope_parameters.
"""

from configs.families.keys import Keys
from configs.rope import Yarn

_KNOWN = (
    "type",
    "rope_type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
)


def read_rope(keys: Keys) -> tuple[float, Yarn | None]:
    """Base of the angles, and the stretching if there is any."""
    parameters, scaling = keys.inside("rope_parameters"), keys.inside("rope_scaling")
    if parameters is not None and scaling is not None:
        right = "it must be absent beside rope_parameters: readers disagree on which of them counts"
        raise keys.error("rope_scaling", scaling.values, right)
    inner = parameters if parameters is not None else scaling
    theta = read_theta(keys, inner)
    if inner is None:
        return theta, None
    name, kind = read_kind(inner)
    if kind == "default":
        return theta, None
    if kind != "yarn":
        raise inner.error(name, kind, 'it must be "yarn", or "default" for no scaling')
    return theta, _yarn(inner, keys)


def read_theta(keys: Keys, inner: Keys | None) -> float:
    """Base of the angles: inside rope_parameters or rope_scaling, or beside them."""
    holder = inner if inner is not None and "rope_theta" in inner.values else keys
    return holder.number("rope_theta", 10_000.0)


def read_kind(inner: Keys) -> tuple[str, object]:
    """The key that says how positions are scaled, older files have another, and what it says."""
    name = "rope_type" if "rope_type" in inner.values else "type"
    return name, inner.values.get(name, "default")


def _yarn(scaling: Keys, keys: Keys) -> Yarn:
    unknown = next((k for k, v in scaling.values.items() if k not in _KNOWN and v is not None), "")
    if unknown:
        right = f"it must be absent: YaRN is computed from {', '.join(_KNOWN[2:])}"
        raise scaling.error(unknown, scaling.values[unknown], right)
    factor = scaling.number("factor")
    if factor < 1:
        raise scaling.error("factor", factor, "it must be at least 1")
    # As transformers has it: without the key the context was not stretched beyond the original.
    name = "original_max_position_embeddings"
    holder, name = (scaling, name) if name in scaling.values else (keys, "max_position_embeddings")
    mscale, all_dim = _mscale(scaling)
    yarn = Yarn(
        factor=factor,
        original_context=holder.count(name),
        beta_fast=scaling.number("beta_fast", 32.0),
        beta_slow=scaling.number("beta_slow", 1.0),
        mscale=mscale,
        mscale_all_dim=all_dim,
    )
    if yarn.beta_fast < yarn.beta_slow:
        right = f"it must be at least beta_slow, {yarn.beta_slow}"
        raise scaling.error("beta_fast", yarn.beta_fast, right)
    return yarn


def _mscale(scaling: Keys) -> tuple[float | None, float | None]:
    """Both constants or neither. With one of them DeepSeek's code assumes a value for the other
    and transformers does not: the same file would give different tokens. (It assumes 1 for
    `mscale`, and then nothing differs.)
    """
    values = scaling.values
    if values.get("mscale_all_dim"):
        if values.get("mscale") is None:
            right = "mscale must be there as well, or neither of them"
            raise scaling.error("mscale_all_dim", values["mscale_all_dim"], right)
        return scaling.number("mscale"), scaling.number("mscale_all_dim")
    if values.get("mscale") not in (None, 1):
        right = "mscale_all_dim must be there as well, or neither of them"
        raise scaling.error("mscale", values["mscale"], right)
    return None, None
