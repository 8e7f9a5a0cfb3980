"""Reads scenarios: file or preset, its base, overrides on top; every problem reported at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from configs.outside import shown
from configs.presets import expand, merge, preset_names, preset_path, read_mapping
from configs.schema.device import DeviceSpec
from configs.schema.errors import ScenarioError
from configs.schema.link import LinkSpec
from configs.schema.paths import anchored, missing
from configs.schema.problems import describe, dotted
from configs.schema.scenario import Scenario
from configs.schema.workload import ONE_OF_PATHS
from configs.units import TEXT

Model = TypeVar("Model", bound=BaseModel)


def load_scenario(
    path_or_preset_name: str | Path, overrides: Mapping[str, object] | None = None
) -> Scenario:
    """A scenario from a YAML file, or a shipped one by name, with dotted keys replaced.

    `overrides` maps e.g. "cluster.nodes.decode.count" to a value, or a list's item by its number
    ("faults.0.toxicity"). A key below a preset's name changes that preset
    ("cluster.nodes.decode.device.tiers.hbm.read": "30 TB/s"). None takes a key back to its default.
    Raises ScenarioError listing every problem.
    """
    try:
        path = _find(path_or_preset_name)
        layers = _layers(path)
    except ValueError as error:
        raise ScenarioError(f"cannot read scenario {path_or_preset_name}:", [str(error)]) from error
    value: dict[str, Any] = {"name": path.stem}
    for file, layer in layers:
        value = merge(value, anchored(layer, file), ONE_OF_PATHS)
    problems: list[str] = []
    for key, replacement in (overrides or {}).items():
        try:
            value = _override(value, tuple(key.split(".")), replacement)
        except ValueError as error:
            problems.append(f"override {key}: {error}")
    problems += missing(value, layers)
    origins = [(str(p), layer) for p, layer in layers]
    return _validate(Scenario, value, origins, problems, tuple(overrides or ()))


def load_device(name: str) -> DeviceSpec:
    """A shipped device by name. Raises ScenarioError."""
    return _load_preset(DeviceSpec, "device", name)


def load_link(name: str) -> LinkSpec:
    """A shipped link by name. Raises ScenarioError."""
    return _load_preset(LinkSpec, "link", name)


def dump_scenario(scenario: Scenario) -> str:
    """The scenario as YAML, complete: presets written out, units in text. Loading it gives an equal
    scenario.
    """
    value = scenario.model_dump(mode="json", by_alias=True, exclude_none=True)
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text


def _load_preset(model: type[Model], kind: str, name: str) -> Model:
    try:
        path = preset_path(kind, name)
        value = expand(kind, name)
    except ValueError as error:
        raise ScenarioError(f"cannot read {kind} {name}:", [str(error)]) from error
    return _validate(model, value, [(str(path), value)], [], ())


def _find(path_or_preset_name: str | Path) -> Path:
    path = Path(path_or_preset_name)
    is_hidden = path.is_dir() and str(path_or_preset_name) in preset_names("scenario")
    if path.suffix in (".yaml", ".yml") or (path.exists() and not is_hidden):
        return path
    return preset_path("scenario", str(path_or_preset_name))


def _layers(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The file's bases first, itself last; each without its `base` key, bases without their name.
    A base is a preset, or a file beside it.
    """
    layers: list[tuple[Path, dict[str, Any]]] = []
    seen: list[Path] = []
    following: Path | None = path
    while following is not None:
        real = Path(os.path.realpath(following))  # `resolve` raises where links lead in circles
        if real in seen:
            chain = " -> ".join(p.name for p in (*seen, following))
            raise ValueError(f"{path}: base leads back to itself: {chain}")
        seen.append(real)
        layer = read_mapping(following)
        base = layer.pop("base", None)
        if layers:
            layer.pop("name", None)  # a base's: this scenario is another
        layers.insert(0, (following, layer))
        following = _base_path(following, base)
    return layers


def _base_path(path: Path, base: object) -> Path | None:
    if base is None:
        return None
    if not isinstance(base, str):
        raise ValueError(f"{path}: base is {shown(base)}: it must name a scenario preset or a file")
    if base.endswith((".yaml", ".yml")):
        return path.parent / base
    try:
        return preset_path("scenario", base)
    except ValueError as error:
        raise ValueError(f"{path}: base: {error}") from error


def _override(
    value: Any, keys: tuple[str, ...], replacement: object, above: tuple[str, ...] = ()
) -> Any:
    """`value`, which lies under the keys `above`, with one dotted key replaced; never changes
    `value`.
    """
    if not keys:
        return replacement
    key, rest = keys[0], keys[1:]
    path = (*above, key)
    if isinstance(value, list):
        if not key.isdecimal() or int(key) >= len(value):
            raise ValueError(f"{shown(key)} is no item of a list of {len(value)}: count from 0")
        items = list(value)
        items[int(key)] = _override(items[int(key)], rest, replacement, path)
        return items
    if isinstance(value, str):  # a preset's name: what follows changes that preset
        value = {"base": value}
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(key)} would be inside {shown(value)}, which holds no keys")
    if not rest and replacement is None and not _in_preset(path):
        return {name: item for name, item in value.items() if name != key}
    inner = value.get(key)
    if path in ONE_OF_PATHS and rest and isinstance(inner, Mapping) and rest[0] not in inner:
        inner = {}  # another choice takes the place of this one
    return {**value, key: _override(inner, rest, replacement, path)}


def _in_preset(path: tuple[str, ...]) -> bool:
    """Whether a path is inside a device or link, where the preset's own keys are not seen yet:
    there None stays, to take the key away when the preset is read.
    """
    return len(path) > 4 and path[:2] == ("cluster", "nodes") and path[3] in ("device", "link")


def _validate(
    model: type[Model],
    value: Mapping[str, Any],
    origins: list[tuple[str, dict[str, Any]]],
    problems: list[str],
    overridden: tuple[str, ...],
) -> Model:
    """The validated model. `problems` are those already found; pydantic's are added, each with the
    file it is in.
    """
    try:
        result = model.model_validate(value, context=dict(TEXT))
    except ValidationError as error:
        for path, line in describe(model, error):
            problems.append(f"{_origin(path, origins, overridden)}: {line}")
        raise ScenarioError(f"{origins[-1][0]}: {len(problems)} problem(s)", problems) from error
    if problems:
        raise ScenarioError(f"{origins[-1][0]}: {len(problems)} problem(s)", problems)
    return result


def _origin(
    path: tuple[str | int, ...],
    origins: list[tuple[str, dict[str, Any]]],
    overridden: tuple[str, ...],
) -> str:
    """Who said it: an override, else the last file in which the longest part of the path stands."""
    key = dotted(path)
    for override in overridden:
        if key == override or key.startswith(f"{override}.") or override.startswith(f"{key}."):
            return "override"
    said_by = origins[0][0]
    deepest = 0
    for file, layer in origins:
        if (depth := _depth(path, layer)) >= deepest:
            said_by, deepest = file, depth
    return said_by


def _depth(path: tuple[str | int, ...], value: Any) -> int:
    """How many leading keys of the path stand in a file."""
    depth = 0
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            break
        depth += 1
    return depth
