"""All formats by name, and which of them a file has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from cluster.workload.traces.errors import TraceError
from cluster.workload.traces.formats import aiperf, llmservingsim, mooncake, sharegpt, tables, vllm
from cluster.workload.traces.formats.json_rows import json_items
from cluster.workload.traces.recorded import Format
from cluster.workload.traces.source import first_line
from configs.outside import shown

FORMATS: Mapping[str, Format] = {
    kind.name: kind
    for kind in (
        mooncake.FORMAT,
        *tables.FORMATS,
        sharegpt.FORMAT,
        vllm.FORMAT,
        llmservingsim.FORMAT,
        aiperf.FORMAT,
    )
}

# A chat's file and AIPerf's Mooncake both have messages; only the latter has any of these.
_MOONCAKE = ("input_length", "text_input", "payload")
_MOONCAKE_CHAT = ("output_length", "timestamp", "delay", "message_mode", "tools", "hash_ids")
# Looks like Mooncake's, but counts time in seconds and blocks of 16 tokens.
_BAILIAN = ("chat_id", "parent_chat_id")


def format_of(path: Path, name: str | None) -> Format:
    """The format that was named, or the one that the file's first row shows. Raises TraceError."""
    return FORMATS[name or _detected(path)]


def _detected(path: Path) -> str:
    head = first_line(path)
    if not head:
        raise TraceError(f"{path}: holds no request: it is empty")
    if head.startswith("["):
        found, keys = _of_rows(path)
    elif vllm.is_result(path):
        found, keys = "vllm", []
    elif head.startswith("{"):
        found, keys = _of_rows(path)
    else:
        keys = [column.strip().strip('"') for column in head.split(",")]
        found = tables.table_of(keys)
    if found is None:
        _refuse(path, keys)
    return found


def _of_rows(path: Path) -> tuple[str | None, list[str]]:
    item = next(iter(json_items(path)), None)
    if item is None:
        raise TraceError(f"{path}: holds no request")
    if not isinstance(item.value, dict):
        raise TraceError(f"{item.where}: the line is {shown(item.value)}: it must be a JSON object")
    return _of_keys(item.value), list(item.value)


def _of_keys(row: Mapping[str, Any]) -> str | None:
    def has(*keys: str) -> bool:
        return any(key in row for key in keys)

    if all(key in row for key in _BAILIAN):
        return None
    if has("conversations", "conversation", "items"):
        return "sharegpt"
    if has("messages"):
        return "mooncake" if has(*_MOONCAKE_CHAT) else "sharegpt"
    if has("input_toks", "sub_requests"):
        return "llmservingsim"
    if has(*_MOONCAKE):
        return "mooncake"
    if has("turns", "text", "texts", "image", "images"):
        return "aiperf"
    return "vllm" if has("prompt") else None


def _refuse(path: Path, keys: list[str]) -> NoReturn:
    looks = "; ".join(f"{name} ({kind.looks})" for name, kind in FORMATS.items())
    found = ", ".join(shown(key) for key in keys[:12])
    raise TraceError(
        f"{path}: its first row has {found}: no format that is read begins so; there are {looks}; "
        "`format` names one if this is one of them all the same"
    )
