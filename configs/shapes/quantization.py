"""What a file says of quantised weights, of any published kind, as a `Storage`."""

from typing import Any

from configs.checkpoint_files import read_json
from configs.families.quantization import NAMED, QUANT_FILE
from configs.families.skipped import UnclearSkip
from configs.shapes.formats import (
    BF16,
    FP8_ROW,
    FP8_TENSOR,
    MXFP4,
    MXFP8,
    NVFP4,
    WIDE,
    Format,
    fp4_groups,
    fp8_blocks,
    int_groups,
)
from configs.shapes.given import Given
from configs.shapes.modules import Chosen, Names
from configs.shapes.storage import Storage

_ALGORITHMS = {
    "NVFP4": NVFP4,
    "W4A16_NVFP4": NVFP4,
    "FP8": FP8_TENSOR,
    "MXFP8": MXFP8,
    "MXFP4": MXFP4,
    "FP8_PB_WO": fp8_blocks(128, 128),
}
_METHODS = '"fp8", "compressed-tensors", "modelopt" or "mxfp4"'
_LISTS = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules")


def read_storage(given: Given, folder: str) -> Storage:
    """Raises CheckpointError on a method that is not known. `folder` is what its publisher calls
    the model, as far as a path tells.
    """
    wide = _wide(given)
    settings = given.within("quantization_config")
    if settings is None:
        settings = _beside(given)
    if settings is None:
        named = NAMED.search(folder)
        reason = "" if named is None else _unknown(named[1])
        return Storage(wide, unknown=reason)
    chosen = _read(given, settings)
    return Storage(wide, chosen, chosen.same_in_all_layers, _cut(settings))


def _wide(given: Given) -> Format:
    """bf16 where a file does not say: those that leave it out are all later than fp32 weights."""
    for name in ("dtype", "torch_dtype"):
        value: Any = given.values.get(name)
        if value is not None:
            if not isinstance(value, str) or value not in WIDE:
                raise given.error(name, value, f"it must be {', '.join(WIDE)}")
            return WIDE[value]
    return BF16


def _unknown(kind: str) -> str:
    return f"its name says {kind}, and no file says which weights: {QUANT_FILE} would"


def _cut(settings: Given) -> str:
    """Lists of modules that a copy of the file has shortened."""
    for name in _LISTS:
        found: Any = settings.values.get(name, ())
        if isinstance(found, list) and "..." in found:
            return f"quantization_config.{name} was cut short in this file"
    return ""


def _beside(given: Given) -> Given | None:
    path = given.path.with_name(QUANT_FILE)
    if not path.exists():
        return None
    return Given(path, read_json(path)).within("quantization")


def _read(given: Given, settings: Given) -> Chosen:
    method: Any = settings.values.get("quant_method")
    if method == "mxfp4":
        return Chosen(MXFP4, _names(settings))
    if method == "compressed-tensors":
        return Chosen(_group(settings, "format"), _names(settings))
    if method == "fp8":
        return _fp8(given, settings)
    if method == "modelopt" or (method is None and "quant_algo" in settings.values):
        return _modelopt(settings)
    raise settings.error("quant_method", method, f"weights are described as {_METHODS}")


def _fp8(given: Given, settings: Given) -> Chosen:
    """DeepSeek's blocks; experts may be fp4 (V4), or named one by one (ModelOpt on top of it)."""
    base = _blocks(settings)
    experts: Any = given.values.get("expert_dtype", "fp8")
    named = _quantized_layers(settings)
    if named:
        return Chosen(base, Names(), named)
    if experts not in ("fp8", "fp4"):
        raise given.error("expert_dtype", experts, "it must be fp8 or fp4")
    four = {"experts": MXFP4} if experts == "fp4" else {}
    return Chosen(base, _names(settings), four)


def _blocks(settings: Given) -> Format:
    size: Any = settings.values.get("weight_block_size")
    scale = 1 if settings.values.get("scale_fmt") == "ue8m0" else 4
    if size is None:
        return FP8_TENSOR if scale == 4 else fp8_blocks(128, 128, scale)
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(type(n) is int and 1 <= n <= 1 << 16 for n in size)
    ):
        right = "it must be rows and columns of a block, e.g. [128, 128]"
        raise settings.error("weight_block_size", size, right)
    return fp8_blocks(size[0], size[1], scale)


def _modelopt(settings: Given) -> Chosen:
    algorithm: Any = settings.values.get("quant_algo")
    if algorithm == "MIXED_PRECISION":
        return Chosen(None, _names(settings), _quantized_layers(settings))
    return Chosen(_of_algorithm(settings, "quant_algo", algorithm), _names(settings))


def _of_algorithm(settings: Given, key: str, algorithm: Any) -> Format:
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        right = f"of ModelOpt's are described {', '.join(_ALGORITHMS)}"
        raise settings.error(key, algorithm, right)
    return _ALGORITHMS[algorithm]


def _quantized_layers(settings: Given) -> dict[str, Format]:
    """Modules and their formats, one by one."""
    inside = settings.within("quantized_layers")
    found = {}
    for name, value in {} if inside is None else inside.values.items():
        assert inside is not None
        algorithm = value.get("quant_algo") if isinstance(value, dict) else value
        plain = name.replace("language_model.", "")
        found[plain] = _of_algorithm(inside, name, algorithm)
    return found


def _group(settings: Given, key: str) -> Format:
    """compressed-tensors with one group of settings for all projections."""
    groups = settings.within("config_groups")
    if groups is None or len(groups.values) != 1:
        found: Any = settings.values.get("config_groups")
        raise settings.error("config_groups", found, "it must have one group, for all projections")
    group = groups.within(next(iter(groups.values)))
    weights = None if group is None else group.within("weights")
    if weights is None:
        raise settings.error("config_groups", groups.values, "its weights must be there")
    bits, kind = weights.size("num_bits"), weights.values.get("type")
    per: Any = weights.values.get("strategy")
    columns = weights.size("group_size", default=0) if per == "group" else 0
    if kind == "int" and bits in (4, 8):
        return int_groups(bits, columns)
    if kind == "float" and bits == 4 and columns:
        return fp4_groups(columns, 1)
    shapes = {"tensor": FP8_TENSOR, "channel": FP8_ROW}
    if kind == "float" and bits == 8 and per in shapes:
        return shapes[per]
    if kind == "float" and bits == 8 and per == "block":
        size = weights.values.get("block_structure")
        return _blocks(Given(weights.path, {"weight_block_size": size}))
    right = f"{kind} of {bits} bits, a scale per {per}, is not described: int4, int8, fp4 or fp8"
    raise settings.error(key, settings.values.get(key), right)


def _names(settings: Given) -> Names:
    """Of modules that stay wide."""
    entries: list[str] = []
    for key in _LISTS:
        found: Any = settings.values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
            raise settings.error(key, found, "it must be a list of modules' names")
        entries += found
    try:
        return Names.of(entries)
    except (UnclearSkip, ValueError) as error:
        raise settings.error(_LISTS[0], entries, f"it {error}") from error
