"""A trial as a file, so that it can be kept, read and repeated: YAML with every ask and fault."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from cluster.chaos.kinds import KINDS, Deed
from cluster.chaos.trial import MILD, ROLLING, Ask, Fault, Trial
from configs.outside import MIB, Unreadable, read_text
from configs.yaml_text import load_yaml

T = TypeVar("T", Ask, Fault)
FILE_BYTES_MAX = 16 * MIB
KEYS = ("trial", "scenario", "model", "asks", "faults")


def write_trial(trial: Trial, note: str = "") -> str:
    """`note` becomes a comment in its first lines."""
    body = {
        "trial": trial.name,
        "scenario": _plain(trial.scenario),
        "model": _plain(trial.model),
        "asks": [_short(ask) for ask in trial.asks],
        "faults": [_short(fault) for fault in trial.faults],
    }
    head = "".join(f"# {line}\n" for line in note.splitlines())
    return head + yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=100)


def read_trial(path: Path) -> Trial:
    """Raises ValueError naming the key, the value and what would be right; OSError."""
    try:
        body = load_yaml(read_text(path, FILE_BYTES_MAX))
    except Unreadable as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(body, dict) or set(body) != {*KEYS}:
        raise ValueError(f"{path}: must have exactly the keys {', '.join(KEYS)}")
    for key, kind in (("scenario", dict), ("asks", list), ("faults", list)):
        if not isinstance(body[key], kind):
            raise ValueError(f"{path}: {key}: {body[key]!r} must be a {kind.__name__}")
    try:
        asks = tuple(_read(Ask, one, f"asks.{i}") for i, one in enumerate(body["asks"]))
        faults = tuple(_fault(one, f"faults.{i}") for i, one in enumerate(body["faults"]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    trial = Trial(str(body["trial"]), body["scenario"], body["model"], asks, faults)
    if trial.rolls and not trial.is_mild:
        raise ValueError(
            f"{path}: faults: while all nodes restart in turn ({ROLLING}) only single messages may "
            f"be lost: {', '.join(MILD)} of the kind that at names, for_ns: 1"
        )
    return trial


def _plain(value: Any) -> Any:
    """Without tuples and aliases, which YAML would spell out."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _short(value: Ask | Fault) -> dict[str, Any]:
    """Without what is as if left out."""
    defaults = {field.name: field.default for field in fields(value)}
    body = {key: one for key, one in asdict(value).items() if one != defaults[key]}
    if isinstance(value, Fault):
        body["at"] = {key: one for key, one in body["at"].items() if one}
    plain: dict[str, Any] = _plain(body)
    return plain


def _read(what: type[T], body: Any, at: str) -> T:
    known = [field.name for field in fields(what)]
    for key in body if isinstance(body, dict) else ():
        if key not in known:
            raise ValueError(f"{at}.{key}: is no key here; these are: {', '.join(known)}")
    try:
        return TypeAdapter(what).validate_python(body)
    except ValidationError as error:
        problem: Any = error.errors()[0]
        where = ".".join(str(part) for part in (at, *problem["loc"]))
        raise ValueError(f"{where}: {problem['input']!r}: {problem['msg']}") from error


def _fault(body: Any, at: str) -> Fault:
    fault = _read(Fault, body, at)
    if fault.what not in KINDS:
        raise ValueError(f"{at}.what: {fault.what!r} must be one of {', '.join(KINDS)}")
    kind = KINDS[fault.what]
    wanted = kind.num_nodes if isinstance(kind, Deed) else 2
    if len(fault.nodes) != wanted:
        raise ValueError(f"{at}.nodes: {list(fault.nodes)} must name {wanted}")
    if fault.is_aimed and not fault.at.kind:
        raise ValueError(
            f"{at}.at: {fault.nodes[0]} is an end of a message: at.kind must say of which"
        )
    return fault
