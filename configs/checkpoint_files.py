"""JSON files of a model folder, and the one error that says what is wrong with one."""

from pathlib import Path
from typing import Any

from configs.outside import MIB, Unreadable, load_json, read_text

JSON_BYTES_MAX = 256 * MIB  # the largest tokenizer.json of a public model has 33 MB

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


class CheckpointError(ValueError):
    """A model folder cannot be used; says the file, the key and what would be right."""


def read_json(path: Path, *, infinite: bool = False) -> dict[str, Any]:
    """The object in a JSON file, `Infinity` in it where `infinite` says so; raises CheckpointError
    where that cannot be had.
    """
    try:
        value = load_json(read_text(path, JSON_BYTES_MAX), infinite=infinite)
    except FileNotFoundError:
        where = "the folder does not exist" if not path.parent.is_dir() else "the file is missing"
        raise CheckpointError(
            f"{path}: {where}; a Hugging Face model folder with {path.name} is needed"
        ) from None
    except Unreadable as error:
        text = str(error)
        raise CheckpointError(text if str(path) in text else f"{path}: {text}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}; it must be a JSON object")
    return value


def has_weights(folder: Path) -> bool:
    """Whether a folder has a model's tensors, and not its description alone."""
    return (folder / SINGLE_FILE).exists() or (folder / INDEX_FILE).exists()
