"""Mutations that keep a text a text: a value of its JSON or YAML becomes another one.

Bytes changed at random are no JSON any more, nearly always, and no fuzzer gets behind that. So of
these targets every other mutation takes the document in an input, changes it, and writes it again.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import yaml

LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308,
    "", "x", "a" * 300, "\x00", "\ud800", "é", "-1", "1e999", [], {}, [[]], {"": None}, [None, 1],
)  # fmt: skip
DEPTHS = (3, 63, 65, 600)

Write = Callable[[Any], bytes]


def changed(data: bytes, words: Sequence[str], seed: int, most: int) -> bytes | None:
    """None where no document is found, or none comes out that is short enough."""
    rng = Random(seed)
    found = _document(data, rng)
    if found is None:
        return None
    before, value, after, write = found
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _changed(value, rng, words)
    try:
        said = before + write(value) + after
    except (ValueError, RecursionError, yaml.YAMLError):
        return None
    return said if len(said) <= most else None


def _document(data: bytes, rng: Random) -> tuple[bytes, Any, bytes, Write] | None:
    """What stands before it, itself, what follows, and how it is written again."""
    text = data.decode("latin-1")
    starts = [at for at, sign in enumerate(text) if sign in "[{"]
    rng.shuffle(starts)
    starts = sorted(starts[:2], key=lambda at: at)  # large ones first, mostly
    for at in starts:
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        return data[:at], value, data[end:], _as_json
    try:
        value = yaml.safe_load(data[1:].decode())
    except (ValueError, RecursionError, yaml.YAMLError, TypeError, AttributeError):
        return None
    return (data[:1], value, b"", _as_yaml) if isinstance(value, dict) else None


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _as_yaml(value: Any) -> bytes:
    return bytes(yaml.safe_dump(value, sort_keys=False, encoding="utf-8"))


def _changed(value: Any, rng: Random, words: Sequence[str]) -> Any:
    """One place of it is another one."""
    inner = isinstance(value, dict | list) and value
    if not inner or rng.random() < 0.15:
        return _other(value, rng, words)
    if isinstance(value, list):
        items = list(value)
        at = rng.randrange(len(items))
        match rng.randrange(4):
            case 0:
                items.insert(at, items[rng.randrange(len(items))])
            case 1:
                del items[at]
            case _:
                items[at] = _changed(items[at], rng, words)
        return items
    pairs = dict(value)
    key = rng.choice(list(pairs))
    match rng.randrange(6):
        case 0:
            del pairs[key]
        case 1:
            pairs[rng.choice(words) if words else "x"] = _other(pairs[key], rng, words)
        case 2:
            pairs[rng.choice(list(pairs))] = pairs[key]
        case _:
            pairs[key] = _changed(pairs[key], rng, words)
    return pairs


def _other(value: Any, rng: Random, words: Sequence[str]) -> Any:
    match rng.randrange(8):
        case 0 | 1:
            return rng.choice(words) if words else "x"
        case 2:
            return [value] * rng.choice((1, 2, 40))
        case 3:
            return {rng.choice(words) if words else "x": value}
        case 4:
            for _ in range(rng.choice(DEPTHS)):
                value = [value] if rng.random() < 0.5 else {"a": value}
            return value
        case 5 if type(value) is int:
            return rng.choice((value + 1, value - 1, -value, value * 2**32))
        case _:
            return rng.choice(LEAVES)
