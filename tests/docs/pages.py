"""README and docs as the tests see them: commands, names of files, tables of keys, examples."""

import re
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union

from pydantic import BaseModel

from configs.schema import DeviceSpec, LinkSpec, Scenario
from configs.schema.faults import NoAttributes
from configs.schema.workload import Length

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
    if path.exists()
)

# Documented once, however often they occur.
TABLES_OF_THEIR_OWN = (DeviceSpec, LinkSpec, Length)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`((?:[\w.{},-]+/)+(?:[\w.{},-]+)?|[\w-]+\.(?:md|toml|txt|py|yaml))`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced examples of one language."""
    return [body for found, body in _FENCE.findall(text(page)) if found == language]


def commands(page: str) -> list[list[str]]:
    """Each `perfuse ...` or `make ...` of the shell examples, as words without the prompt."""
    lines = (line for body in blocks(page, "sh") for line in body.replace("\\\n", " ").splitlines())
    words = (line.split("#")[0].removeprefix("$ ").split() for line in lines)
    return [found for found in words if found and found[0] in ("perfuse", "make")]


def files(page: str) -> list[str]:
    """Paths in code style, with {a,b} written out, and the targets of links."""
    prose = _FENCE.sub("", text(page))
    named = [path for name in _FILE.findall(prose) for path in _braces(name)]
    folder = Path(page).parent
    linked = [(folder / target).as_posix() for target in _LINK.findall(prose)]
    return named + linked


def _braces(name: str) -> list[str]:
    match = re.search(r"\{([^}]*)\}", name)
    if match is None:
        return [name]
    head, tail = name[: match.start()], name[match.end() :]
    return [path for choice in match[1].split(",") for path in _braces(f"{head}{choice}{tail}")]


def documented_keys() -> dict[str, str]:
    """Key -> its default, as the tables say it."""
    return {key: row[2].strip() for key, row in _rows_of_keys().items()}


def documented_examples() -> dict[str, str]:
    """Key -> its example."""
    return {key: row[3].removesuffix(" |").strip("`") for key, row in _rows_of_keys().items()}


def _rows_of_keys() -> dict[str, list[str]]:
    rows = (line.split(" | ") for line in text("docs/scenarios.md").splitlines())
    return {
        row[0].removeprefix("| ").strip("`"): row
        for row in rows
        if len(row) == 4 and row[0].startswith("| `")
    }


def schema_keys() -> dict[str, object]:
    """Key -> its default, of all that a scenario, a device, a link and a length may hold."""
    models: tuple[tuple[str, type[BaseModel]], ...] = (
        ("", Scenario),
        ("device.", DeviceSpec),
        ("link.", LinkSpec),
        ("length.", Length),
    )
    return {key: default for prefix, model in models for key, default in _keys_of(model, prefix)}


def _keys_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, object]]:
    for name, info in model.model_fields.items():
        if info.annotation is NoAttributes:
            continue
        alias = info.validation_alias
        key = prefix + (alias if isinstance(alias, str) else name)
        default = None if info.is_required() else info.default
        yield from list(_leaves(info.annotation, key)) or [(key, default)]


def _leaves(annotation: Any, key: str) -> Iterator[tuple[str, object]]:
    """What is below `key`; nothing where it is a leaf."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in TABLES_OF_THEIR_OWN:
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _keys_of(annotation, f"{key}.")
    elif origin is Annotated:
        yield from _leaves(args[0], key)
    elif origin in (Union, UnionType):
        for member in args:
            yield from _leaves(member, key)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _leaves(args[1], f"{key}.<name>")
    elif origin is tuple and args[-1] is Ellipsis:
        yield from _leaves(args[0], f"{key}.<i>")
