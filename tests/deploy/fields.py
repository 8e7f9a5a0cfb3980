"""Manifests against a list of fields (fields.yaml): what is unknown, of another type, or missing,
each with its path. It stands in for the API server's own check, which needs a cluster.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?")
Fields = Mapping[str, Any]


@cache
def known() -> dict[str, Fields]:
    """Kind -> its fields, a required one with ! after its name."""
    text = Path(__file__).with_name("fields.yaml").read_text(encoding="utf-8")
    found: dict[str, Fields] = yaml.safe_load(text)
    return found


def faults(document: Any) -> list[str]:
    """Of a whole document, which says its own kind; [] where all is well."""
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind not in known():
        return [f"kind: is {kind!r}, of which no fields are listed"]
    return faults_of(document, kind)


def faults_of(value: Any, kind: str) -> list[str]:
    return list(_faults(value, kind, ""))


def _faults(value: Any, asked: Any, path: str) -> Iterator[str]:
    """`asked` is a type as fields.yaml writes it."""
    if isinstance(asked, list):
        if not isinstance(value, list):
            yield _wrong(path, value, "a list")
            return
        for number, each in enumerate(value):
            yield from _faults(each, asked[0], f"{path}[{number}]")
    elif isinstance(asked, dict):
        if not isinstance(value, dict):
            yield _wrong(path, value, "a mapping")
            return
        for key, each in value.items():
            yield from _faults(each, asked["each"], f"{path}.{key}")
    elif asked in known():
        yield from _faults_of_fields(value, known()[asked], path)
    elif not _is(value, asked):
        yield _wrong(path, value, asked)


def _faults_of_fields(value: Any, fields: Fields, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _wrong(path, value, "a mapping")
        return
    types = {name.rstrip("!"): asked for name, asked in fields.items()}
    for name in fields:
        if name.endswith("!") and name.rstrip("!") not in value:
            yield f"{path}.{name.rstrip('!')}: is required".lstrip(".")
    for key, each in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key not in types:
            yield f"{where}: is no field here"
        else:
            yield from _faults(each, types[key], where)


def _is(value: Any, asked: str) -> bool:
    match asked:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "port":
            return _is(value, "integer") or isinstance(value, str)
        case "quantity":
            whole = _is(value, "integer")
            return whole or (isinstance(value, str) and QUANTITY.fullmatch(value) is not None)
        case "object":
            return isinstance(value, dict)
        case _:
            return value in asked.removeprefix("= ").split(" | ")


def _wrong(path: str, value: Any, asked: str) -> str:
    return f"{path}: is {value!r}, not {asked.removeprefix('= ')}".lstrip(".")
