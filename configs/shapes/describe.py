"""From a published file, or a shipped name, to a shape: which reader it needs, and its notes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.checkpoint_files import CheckpointError, read_json
from configs.model_presets import is_model_name, model_preset
from configs.nearest import nearest
from configs.presets import preset_path
from configs.shapes.given import Given
from configs.shapes.quantization import read_storage
from configs.shapes.readers import ARCHITECTURES, BY_NAME, Family
from configs.shapes.shape import ModelShape

# What a multimodal file says once for all its parts.
_FOR_ALL = ("tie_word_embeddings", "quantization_config", "torch_dtype", "dtype")
_PARTS = {"vision_config": "vision", "audio_config": "audio"}


def describe_model(name: str | Path) -> ModelShape:
    """A shipped description by its name, else a file or folder.

    Raises CheckpointError, or ValueError with the nearest names where there is nothing.
    """
    if is_model_name(name):
        preset = model_preset(str(name))
        return describe(preset.path, preset.config)
    path = Path(name).expanduser()
    if not path.exists() and path.name == str(name):
        preset_path("model", str(name))
    return describe_file(path)


def describe_file(given: str | Path) -> ModelShape:
    """A config.json under whatever name, or the folder that has it.

    Raises CheckpointError, one line that names file, key, value and what would be right.
    """
    path = Path(given)
    path = path if path.suffix.lower() == ".json" and path.is_file() else path / "config.json"
    return describe(path, read_json(path, infinite=True))


def describe(path: Path, values: dict[str, Any]) -> ModelShape:
    """The same of what a file holds; `path` is what errors call it, and where others lie beside."""
    outer = Given(path, values)
    text, prefix = _text(values)
    given = Given(path, text, prefix)
    name, family = _family(outer, given)
    shape = family.read(given)
    folder = path.parent.name if path.name == "config.json" else path.stem
    notes = [*shape.notes]
    for key, part in _PARTS.items():
        if values.get(key) is not None:
            notes.append(f"the {part} part is not counted")
    if unread := given.unread():
        shown = ", ".join(unread[:8]) + (", ..." if len(unread) > 8 else "")
        notes.append(f"not read, though it may speak of sizes: {shown}")
    storage = read_storage(given, folder)
    if storage.unknown:
        notes.append(f"bytes of weights are estimated: {storage.unknown}")
    return replace(shape, architecture=name, storage=storage, notes=tuple(notes))


def _text(values: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The language model's keys, and how errors call where they stand."""
    inner = values.get("text_config")
    if not isinstance(inner, dict):
        return values, ""
    for_all = {key: values[key] for key in _FOR_ALL if values.get(key) is not None}
    there = {key: value for key, value in inner.items() if value is not None}
    return {**for_all, **there}, "text_config."


def _family(outer: Given, text: Given) -> tuple[str, Family]:
    """By the text part's class, else the whole file's, else by `model_type`."""
    for given in (text, outer):
        found: Any = given.values.get("architectures")
        name = found[0] if isinstance(found, list) and len(found) == 1 else None
        if isinstance(name, str) and name in BY_NAME:
            return name, BY_NAME[name]
    for given in (text, outer):
        kind: Any = given.values.get("model_type")
        if isinstance(kind, str) and kind in BY_NAME:
            family = BY_NAME[kind]
            return family.architectures[0], family
    raise _unknown_family(outer)


def _unknown_family(outer: Given) -> CheckpointError:
    found: Any = outer.values.get("architectures")
    name = found[0] if isinstance(found, list) and found else found
    right = "it must be a family that is described"
    hint = nearest(str(name), ARCHITECTURES) if name else f"known: {', '.join(ARCHITECTURES)}"
    return outer.error("architectures", found, f"{right}: {hint}")
