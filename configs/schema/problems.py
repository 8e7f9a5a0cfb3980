"""Turns what pydantic finds into lines a person can act on: dotted key, value, what would be
right.
"""

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from configs.nearest import nearest
from configs.outside import shown

KEY_LENGTH_MAX = 80  # of what errors show

Path = tuple[str | int, ...]


def describe(model: type[BaseModel], error: ValidationError) -> list[tuple[Path, str]]:
    """Each problem as (path of the key in the file, "key: what is wrong")."""
    return [_describe(model, detail) for detail in error.errors()]


def _describe(model: type[BaseModel], detail: ErrorDetails) -> tuple[Path, str]:
    path, parent = _walk(model, detail["loc"])
    kind, value = detail["type"], detail["input"]
    key = dotted(path)
    if kind == "extra_forbidden":
        known = [_file_key(name, parent) for name in parent.model_fields] if parent else []
        return (
            path,
            f"{key}: there is no key {shown(path[-1])} here: {nearest(str(path[-1]), known)}",
        )
    if kind == "missing":
        return path, f"{key}: is missing: it must be given"
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ")
        # What is wrong between two sections names its key itself.
        return path, f"{key}: {message}" if path else message
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        given = value.get("type") if isinstance(value, Mapping) else value
        expected = str(detail.get("ctx", {}).get("expected_tags", ""))
        return (
            path,
            f"{key}.type: is {shown(given)}: it must be one of {expected or 'the known types'}",
        )
    if kind == "literal_error" and path[-1:] == ("[key]",):
        known = re.findall("'([^']+)'", detail.get("ctx", {}).get("expected", ""))
        return path[:-1], f"{dotted(path[:-1])}: there is no such key: {nearest(str(value), known)}"
    if kind == "string_pattern_mismatch" or path[-1:] == ("[key]",):
        return path, f"{key}: {shown(value)} is no name: use letters, digits, - and _ only"
    if kind == "tuple_type":
        return path, f"{key}: is {shown(value)}: it must be a list, as [A, B]"
    message = detail["msg"]
    return path, f"{key}: is {shown(value)}: {message[0].lower()}{message[1:]}"


def dotted(path: Sequence[str | int]) -> str:
    """ "cluster.nodes.decode.count"; the whole file is "(top)"."""
    return ".".join(str(part)[:KEY_LENGTH_MAX] for part in path) or "(top)"


def _file_key(name: str, parent: type[BaseModel]) -> str:
    alias = parent.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else name


def _walk(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[Path, type[BaseModel] | None]:
    """The path as it stands in the file (pydantic adds union tags to it), and the model that holds
    its last key.
    """
    here: Any = model
    parent: type[BaseModel] | None = None
    path: list[str | int] = []
    for part in loc:
        here = _bare(here)
        tagged = _tagged(here, part)
        if tagged is not None:
            here = tagged
            continue
        path.append(part)
        parent = here if _is_model(here) else None
        here = _inside(here, part)
    return tuple(path), parent


def _bare(annotation: Any) -> Any:
    """Without Annotated and Optional."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
            continue
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            some = [a for a in typing.get_args(annotation) if a is not type(None)]
            if len(some) == 1:
                annotation = some[0]
                continue
        return annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _tagged(annotation: Any, tag: str | int) -> type[BaseModel] | None:
    """The member of a union of models that carries `type: tag`."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    for member in typing.get_args(annotation):
        tags = _is_model(member) and member.model_fields.get("type")
        if tags and tag in typing.get_args(tags.annotation):
            return typing.cast(type[BaseModel], member)
    return None


def _inside(annotation: Any, part: str | int) -> Any:
    """The type of one key or item."""
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            if part in (name, field.validation_alias):
                return field.annotation
        return None
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if not args:
        return None
    return args[1] if isinstance(origin, type) and issubclass(origin, Mapping) else args[0]
