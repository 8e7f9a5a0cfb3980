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
    parameters = keys.inside("rope_parameters")
    scaling = parameters or keys.inside("rope_scaling")
    if scaling is None:
        return keys.number("rope_theta", 10_000.0), None
    holds_theta = scaling if "rope_theta" in scaling.values else keys
    theta = holds_theta.number("rope_theta", 10_000.0)
    name = "rope_type" if "rope_type" in scaling.values else "type"
    kind = scaling.values.get(name, "default")
    if kind == "default":
        return theta, None
    if kind != "yarn":
        raise scaling.error(name, kind, 'it must be "yarn", or "default" for no scaling')
    return theta, _yarn(scaling, keys)


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
