"""The chat template of a model folder, with the settings that Hugging Face templates expect."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

from configs.checkpoint_files import CheckpointError

TEMPLATE_FILE = "chat_template.jinja"
CONFIG_FILE = "tokenizer_config.json"


def load_template(folder: Path, config: Mapping[str, Any]) -> jinja2.Template | None:
    """The folder's chat template, with the settings that Hugging Face templates expect."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        source: object = path.read_text(encoding="utf-8")
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
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise CheckpointError(f"{path}: chat template, line {error.lineno}: {error}") from error


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
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
