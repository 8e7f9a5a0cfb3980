"""JSON files of a model folder, and the one error that says what is wrong with one."""

import json
from pathlib import Path
from typing import Any


class CheckpointError(ValueError):
    """A model folder cannot be used; says the file, the key and what would be right."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises CheckpointError where that cannot be had."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        where = "the folder does not exist" if not path.parent.is_dir() else "the file is missing"
        raise CheckpointError(
            f"{path}: {where}; a Hugging Face model folder with {path.name} is needed"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: holds a {type(value).__name__}; it must be a JSON object")
    return value
