"""The chat template of a model folder, with the settings that Hugging Face templates expect."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from cluster.text.bounded_jinja import BoundedEnvironment
from cluster.text.budget import TooMuch
from configs.checkpoint_files import CheckpointError
from configs.outside import Unreadable, read_text

TEMPLATE_FILE = "chat_template.jinja"
CONFIG_FILE = "tokenizer_config.json"
SOURCE_BYTES_MAX = 128 * 1024  # the longest public one has 20 KB
INDENT_MAX = 16


def load_template(folder: Path, config: Mapping[str, Any]) -> jinja2.Template | None:
    """The folder's chat template, with the settings that Hugging Face templates expect."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        try:
            source: object = read_text(path, SOURCE_BYTES_MAX)
        except (OSError, Unreadable) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
    else:
        path, source = folder / CONFIG_FILE, config.get("chat_template")
        if isinstance(source, list):  # several templates by name
            named = {t.get("name"): t.get("template") for t in source if isinstance(t, dict)}
            source = named.get("default")
    if source is None:
        return None
    if not isinstance(source, str):
        raise CheckpointError(
            f"{path}: chat_template is a {type(source).__name__}; it must be a string"
        )
    if len(source) > SOURCE_BYTES_MAX:
        raise CheckpointError(
            f"{path}: chat_template has {len(source)} characters: at most {SOURCE_BYTES_MAX} are "
            "read"
        )
    environment = BoundedEnvironment({"tojson": _to_json})
    environment.globals["raise_exception"] = _refuse
    try:
        template = environment.from_string(source)
        template.source = source  # type: ignore[attr-defined]  # which tools it knows
        return template
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None) or 1
        raise CheckpointError(f"{path}: chat template, line {line}: {error}"[:400]) from error
    except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
        # What Jinja takes and Python does not: blocks or brackets nested too deep, huge numbers.
        raise CheckpointError(
            f"{path}: chat template: cannot be compiled: {error}"[:400]
        ) from error


def special_names(config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and such for templates that print them; a token may be an object with content."""
    names = {}
    for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = config.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            names[key] = value
    return names


def _to_json(value: Any, indent: int | None = None) -> str:
    # jinja2's own filter escapes for HTML, which would change the prompt.
    if indent is not None and not 0 <= indent <= INDENT_MAX:
        raise TooMuch(f"tojson's indent is {indent}; it must be from 0 to {INDENT_MAX}")
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
