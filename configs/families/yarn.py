"""Rotary positions in a config.json: plain, or stretched by YaRN.

Published folders have rope_theta and rope_scaling; transformers 5 writes both into rope_parameters.
"""

from configs.families.keys import WHOLE_MAX, Keys
from configs.rope import Yarn

_ORIGINAL = "original_max_position_embeddings"
_KNOWN = (
    "type",
    "rope_type",
    "rope_theta",
    "factor",
    _ORIGINAL,
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
)


def read_rope(keys: Keys, *more: str) -> tuple[float, Yarn | None]:
    """Base of the angles, and the stretching if there is any. `more` names the constants that a
    family has beside those that all have.
    """
    inner = _inner(keys)
    theta = read_theta(keys, inner)
    if inner is None:
        return theta, None
    name, kind = read_kind(inner)
    if kind not in ("default", "yarn"):
        raise inner.error(name, kind, 'it must be "yarn", or "default" for no scaling')
    known = (*_KNOWN, *more)
    for key, value in inner.values.items():
        is_whole = key == "partial_rotary_factor" and value == 1 and value is not True
        if key not in known and not is_whole:
            right = f"it must be absent: YaRN is computed from {', '.join(known[3:])}"
            raise inner.error(key, value, right)
    return theta, _yarn(inner, keys) if kind == "yarn" else None


def read_context(keys: Keys) -> int:
    """Positions that a model can tell apart: those that the file states, or as many as YaRN makes
    of the original ones. Qwen's advice is to add rope_scaling and to leave all else as it is, and
    vLLM counts so.
    """
    stated, inner = keys.count("max_position_embeddings"), _inner(keys)
    if inner is None or read_kind(inner)[1] != "yarn" or _ORIGINAL not in inner.values:
        return stated
    stretched = inner.number("factor") * inner.count(_ORIGINAL)
    if stretched > WHOLE_MAX:
        right = f"times {_ORIGINAL} it must be at most {WHOLE_MAX}"
        raise inner.error("factor", inner.values["factor"], right)
    return max(stated, int(stretched))


def _inner(keys: Keys) -> Keys | None:
    """The object that says how positions are scaled."""
    parameters, scaling = keys.inside("rope_parameters"), keys.inside("rope_scaling")
    if parameters is not None and scaling is not None:
        right = "it must be absent beside rope_parameters: readers disagree on which of them counts"
        raise keys.error("rope_scaling", scaling.values, right)
    return parameters if parameters is not None else scaling


def read_theta(keys: Keys, inner: Keys | None) -> float:
    """Base of the angles: inside rope_parameters or rope_scaling, or beside them."""
    holder = inner if inner is not None and "rope_theta" in inner.values else keys
    return holder.number("rope_theta", 10_000.0)


def read_kind(inner: Keys) -> tuple[str, object]:
    """The key that says how positions are scaled, older files have another, and what it says."""
    name = inner.first("rope_type", "type")
    return name, inner.values.get(name, "default")


def _yarn(scaling: Keys, keys: Keys) -> Yarn:
    factor = scaling.number("factor")
    if factor < 1:
        raise scaling.error("factor", factor, "it must be at least 1")
    # As transformers has it: without the key the context was not stretched beyond the original.
    is_stated = _ORIGINAL in scaling.values
    holder, name = (scaling, _ORIGINAL) if is_stated else (keys, "max_position_embeddings")
    mscale, all_dim = _mscale(scaling)
    stated = "attention_factor" in scaling.values
    yarn = Yarn(
        factor=factor,
        original_context=holder.count(name),
        beta_fast=scaling.number("beta_fast", 32.0),
        beta_slow=scaling.number("beta_slow", 1.0),
        mscale=mscale,
        mscale_all_dim=all_dim,
        attention_factor=scaling.number("attention_factor") if stated else None,
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
    if values.get("mscale") not in (None, 1) or values.get("mscale") is True:
        right = "mscale_all_dim must be there as well, or neither of them"
        raise scaling.error("mscale", values["mscale"], right)
    return None, None
