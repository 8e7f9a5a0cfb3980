"""Reads recorded workloads: Mooncake's JSON lines and Azure's CSV. Errors name the file and line.

Mooncake   {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [...]}, one id for
           each 512 tokens of the prompt; two requests share a prefix as far as their ids agree
Azure      TIMESTAMP,ContextTokens,GeneratedTokens with seven decimals of a second and CR LF; no
           prefixes, so it says nothing about caches
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn

from configs.outside import (
    DIGITS_MAX,
    INTEGER_MAX,
    MIB,
    Unreadable,
    load_json,
    shown,
    text_lines,
)
from configs.schema.workload import REQUESTS_MAX, TOKENS_MAX

MOONCAKE_BLOCK_TOKENS = 512
# The longest public one has 25 MB; a line of a million requests has 4 KB at most.
TRACE_BYTES_MAX = 4096 * MIB
TIME_MS_MAX = INTEGER_MAX // 1_000_000

_AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class TraceError(ValueError):
    """A trace that cannot be read; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One recorded request. `at_ns` counts from the trace's first; `hash_ids` is empty where the
    trace records no prefixes, `session` where it records no sessions."""

    at_ns: int
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...] = ()
    session: str = ""


def read_trace(
    kind: Literal["mooncake", "azure"], path: Path, num_requests: int | None = None
) -> tuple[TraceEntry, ...]:
    """The trace's first `num_requests` entries, or all, in file order. Raises TraceError."""
    entries = _mooncake(path) if kind == "mooncake" else _azure(path)
    try:
        found = tuple(islice(entries, num_requests or REQUESTS_MAX + 1))
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise TraceError(str(error)) from error
    if len(found) > REQUESTS_MAX:
        raise TraceError(f"{path}: holds more than {REQUESTS_MAX} requests: name num_requests")
    if not found:
        raise TraceError(f"{path}: holds no request")
    if num_requests is not None and len(found) < num_requests:
        raise TraceError(f"{path}: holds {len(found)} requests: {num_requests} were asked for")
    return found


def _mooncake(path: Path) -> Iterator[TraceEntry]:
    origin_ms: int | None = None
    last_ns = 0
    for number, line in enumerate(text_lines(path, TRACE_BYTES_MAX), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = load_json(line)
        except Unreadable as error:
            raise TraceError(f"{where}: {error}") from error
        if not isinstance(row, dict):
            _wrong(where, "the line", row, "a JSON object")
        at_ms = _count(where, row, "timestamp", least=0, most=TIME_MS_MAX)
        origin_ms = at_ms if origin_ms is None else origin_ms
        at_ns = (at_ms - origin_ms) * 1_000_000
        last_ns = _in_order(where, "timestamp", at_ns, last_ns)
        input_length = _count(where, row, "input_length", least=1)
        yield TraceEntry(
            at_ns=at_ns,
            input_length=input_length,
            output_length=_count(where, row, "output_length", least=1),
            hash_ids=_hash_ids(where, row.get("hash_ids"), input_length),
            session=_session(where, row.get("session_id", "")),
        )


def _azure(path: Path) -> Iterator[TraceEntry]:
    origin_ns: int | None = None
    last_ns = 0
    # A line keeps its CR LF for the csv module; utf-8-sig takes a byte-order mark away.
    reader = csv.DictReader(text_lines(path, TRACE_BYTES_MAX, "utf-8-sig"), strict=True)
    try:
        columns = tuple(reader.fieldnames or ())
        missing = [column for column in _AZURE_COLUMNS if column not in columns]
        if missing:
            raise TraceError(
                f"{path}:1: lacks column {', '.join(missing)}: an Azure trace begins with "
                f"{','.join(_AZURE_COLUMNS)}"
            )
        for row in reader:
            where = f"{path}:{reader.line_num}"
            time_ns = _timestamp_ns(where, row["TIMESTAMP"])
            origin_ns = time_ns if origin_ns is None else origin_ns
            at_ns = time_ns - origin_ns
            last_ns = _in_order(where, "TIMESTAMP", at_ns, last_ns)
            yield TraceEntry(
                at_ns=at_ns,
                input_length=_number(where, row, "ContextTokens"),
                output_length=_number(where, row, "GeneratedTokens"),
            )
    except csv.Error as error:
        raise TraceError(f"{path}:{reader.line_num}: is not CSV: {error}") from error


def _timestamp_ns(where: str, text: str | None) -> int:
    """Nanoseconds since year 1 of "2023-11-16 18:17:03.9799600", exact to the last decimal."""
    whole, _, decimals = (text or "").partition(".")
    right = "YYYY-MM-DD HH:MM:SS with at most nine decimals"
    if len(decimals) > 9 or (decimals and not decimals.isdecimal()):
        _wrong(where, "TIMESTAMP", text, right)
    try:
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        _wrong(where, "TIMESTAMP", text, right)
    since = moment - datetime.min
    return (since.days * 86_400 + since.seconds) * 10**9 + int(decimals.ljust(9, "0"))


def _number(where: str, row: Mapping[str, str | None], column: str) -> int:
    text = (row[column] or "").strip()
    if not text.isdecimal() or len(text) > DIGITS_MAX or not 1 <= int(text) <= TOKENS_MAX:
        _wrong(where, column, row[column], f"a whole number from 1 to {TOKENS_MAX}")
    return int(text)


def _count(
    where: str, row: Mapping[str, object], key: str, least: int, most: int = TOKENS_MAX
) -> int:
    value = row.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _wrong(where, key, value, f"a whole number from {least} to {most}")
    return value


def _hash_ids(where: str, value: object, input_length: int) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or any(type(i) is not int or i < 0 for i in value):
        _wrong(where, "hash_ids", value, "a list of whole numbers of at least 0")
    blocks = -(-input_length // MOONCAKE_BLOCK_TOKENS)
    if len(value) != blocks:
        _wrong(
            where,
            "hash_ids",
            f"{len(value)} ids",
            f"{blocks}, one for each {MOONCAKE_BLOCK_TOKENS} of {input_length} tokens",
        )
    return tuple(value)


def _session(where: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        _wrong(where, "session_id", value, "a text or a whole number")
    return str(value)


def _in_order(where: str, key: str, at_ns: int, last_ns: int) -> int:
    if at_ns < last_ns:
        raise TraceError(
            f"{where}: {key} is {last_ns - at_ns} ns before the line above: sort by arrival"
        )
    return at_ns


def _wrong(where: str, key: str, value: object, right: str) -> NoReturn:
    raise TraceError(f"{where}: {key} is {shown(value)}: it must be {right}")
