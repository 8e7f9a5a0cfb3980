"""What a model folder says of its chats: templates, and the names of special tokens, wherever
`transformers` looks for them.

    chat_template.jinja              the default one; with it, or with any of the next,
    additional_chat_templates/*.jinja    others by name, nothing counts that the next says
    tokenizer_config.json            chat_template: one, or a list of {name, template}
    special_tokens_map.json          tokens, for a configuration that does not list added ones
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.checkpoint_files import CheckpointError, read_json
from configs.outside import Unreadable, read_text, shown

TEMPLATE_FILE = "chat_template.jinja"
MORE_FOLDER = "additional_chat_templates"
CONFIG_FILE = "tokenizer_config.json"
TOKENS_FILE = "special_tokens_map.json"
DEFAULT = "default"
SOURCE_BYTES_MAX = 128 * 1024  # the longest public one has 20 KB
TEMPLATES_MAX = 32

# name -> where it stands, its source
Sources = dict[str, tuple[Path, str]]


def read_sources(folder: Path, config: Mapping[str, Any]) -> Sources:
    """Raises CheckpointError."""
    paths = {path.stem: path for path in sorted((folder / MORE_FOLDER).glob("*.jinja"))}
    if (folder / TEMPLATE_FILE).exists():
        paths = {DEFAULT: folder / TEMPLATE_FILE} | paths
    if paths:
        _check_number(folder / MORE_FOLDER, len(paths))
        return {name: (path, _read(path)) for name, path in paths.items()}
    path, stated = folder / CONFIG_FILE, config.get("chat_template")
    if stated is None:
        return {}
    if isinstance(stated, str):
        stated = [{"name": DEFAULT, "template": stated}]
    if not isinstance(stated, list):
        raise CheckpointError(
            f"{path}: chat_template is a {type(stated).__name__}; it must be a string, or a list "
            "of objects with a name and a template"
        )
    _check_number(path, len(stated))
    return dict(_named(path, entry) for entry in stated)


def _read(path: Path) -> str:
    try:
        return read_text(path, SOURCE_BYTES_MAX)
    except (OSError, Unreadable) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _check_number(path: Path, number: int) -> None:
    if number > TEMPLATES_MAX:
        raise CheckpointError(
            f"{path}: has {number} chat templates: at most {TEMPLATES_MAX} are read"
        )


def _named(path: Path, entry: object) -> tuple[str, tuple[Path, str]]:
    name = entry.get("name") if isinstance(entry, dict) else None
    source = entry.get("template") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not isinstance(source, str):
        raise CheckpointError(
            f"{path}: chat_template has the entry {shown(entry)}; each must be an object with a "
            "name and a template, both strings"
        )
    if len(source) > SOURCE_BYTES_MAX:
        raise CheckpointError(
            f"{path}: chat_template has {len(source)} characters: at most {SOURCE_BYTES_MAX} are "
            "read"
        )
    return name, (path, source)


def special_names(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """bos_token and such for templates that print them; a token may be an object with content."""
    stated = dict(config)
    more = folder / TOKENS_FILE
    if "added_tokens_decoder" not in config and more.is_file():
        stated |= read_json(more)
    extra = stated.get("extra_special_tokens")
    tokens = {key: value for key, value in stated.items() if key.endswith("_token")}
    tokens |= extra if isinstance(extra, dict) else {}
    names = {}
    for key, value in tokens.items():
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            names[key] = text
    return names
