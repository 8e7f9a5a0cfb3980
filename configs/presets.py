"""Where the shipped presets are, and how a name or a `base:` becomes a whole specification."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.nearest import nearest
from configs.outside import MIB, Unreadable, read_text, shown
from configs.yaml_text import load_yaml

ROOT = Path(__file__).resolve().parent
KINDS = {
    "device": ROOT / "devices",
    "link": ROOT / "links",
    "model": ROOT / "models",
    "scenario": ROOT / "scenarios",
}

YAML_BYTES_MAX = MIB // 2

TINY_MODEL = "perfuse-tiny"
TINY_CORPUS = "perfuse-tiny corpus"


def preset_names(kind: str) -> tuple[str, ...]:
    """Names of the shipped presets of one kind ("device", "link", "model", "scenario"), sorted."""
    return tuple(sorted(path.stem for path in KINDS[kind].glob("*.yaml")))


def preset_path(kind: str, name: str) -> Path:
    """The file of a preset. Raises ValueError with the nearest names."""
    if name not in preset_names(kind):
        raise ValueError(f"no {kind} is called {shown(name)}: {nearest(name, preset_names(kind))}")
    return KINDS[kind] / f"{name}.yaml"


def expand(kind: str, value: Any) -> Any:
    """A preset's name, or a mapping that names a `base:` and replaces some of its keys, as the
    whole mapping.

    Anything else is returned as it is, for the schema to judge. A changed preset keeps
    its name unless it is given another.
    """
    if isinstance(value, str):
        return read_mapping(preset_path(kind, value))
    if isinstance(value, Mapping) and "base" in value:
        changes = {key: item for key, item in value.items() if key != "base"}
        whole = merge(read_mapping(preset_path(kind, str(value["base"]))), changes)
        return whole if kind == "scenario" else _unsourced(whole, changes)
    return value


def _unsourced(whole: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A changed figure has lost its source: it counts as assumed, unless the change brings its own
    `source` or `evidence`.
    """
    tiers = changes.get("tiers")
    for name, changed in tiers.items() if isinstance(tiers, Mapping) else ():
        if isinstance(changed, Mapping) and isinstance(whole["tiers"].get(name), dict):
            whole["tiers"][name] = _unsourced(whole["tiers"][name], changed)
    if "source" in changes or "evidence" in changes:
        return whole
    keys = [
        f"{key}.{inner}" if inner else key
        for key, item in changes.items()
        if key not in ("name", "tiers", "assumed", "default_tier")
        for inner in (item if isinstance(item, Mapping) else [""])
    ]
    known = list(whole.get("assumed") or ())
    return (
        {**whole, "assumed": known + [key for key in keys if key not in known]} if keys else whole
    )


def merge(
    base: Mapping[str, Any],
    changes: Mapping[str, Any],
    one_of: frozenset[tuple[str, ...]] = frozenset(),
    above: tuple[str, ...] = (),
) -> dict[str, Any]:
    """`base` with `changes` on top: mappings merge, all else replaces, null takes the key away.

    At a path in `one_of` exactly one choice may stand, so another choice replaces instead of
    joining. `above` is the path of these two mappings themselves.
    """
    result = dict(base)
    for key, value in changes.items():
        old, path = result.get(key), (*above, key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            replaces = path in one_of and not any(choice in old for choice in value)
            result[key] = merge({} if replaces else old, value, one_of, path)
        else:
            result[key] = value
    return result


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping. Raises ValueError naming the file, line and column."""
    try:
        text = read_text(path, YAML_BYTES_MAX)
        try:
            value = load_yaml(text)
        except Unreadable as error:
            raise Unreadable(f"{path}: {error}") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a {type(value).__name__}: it must be a mapping of keys")
    return value


def model_folder(path: str) -> Path:
    """The checkpoint folder that a scenario's `model.path` means; "perfuse-tiny" is the shipped
    model.
    """
    return ROOT / "perfuse_tiny" / "model" if path == TINY_MODEL else Path(path).expanduser()


def corpus_folder(path: str) -> Path:
    """The folder of documents, or of an index of them, that a collection's `path` means."""
    return ROOT / "perfuse_tiny" / "corpus" if path == TINY_CORPUS else Path(path).expanduser()


def questions_file(path: str | None) -> Path:
    """The JSON-lines file that `workload.prompts.questions.path` means; None is the shipped one."""
    return ROOT / "perfuse_tiny" / "questions.jsonl" if path is None else Path(path).expanduser()


def certificates_folder(path: str) -> Path:
    """The folder that `cluster.certificates` means, wherever a node's process stands."""
    return Path(path).expanduser().absolute()
