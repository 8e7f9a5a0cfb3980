"""OpenAI's cursor pages over a list that is in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

from workers.errors import InvalidRequest

_LIMIT_DEFAULT = 20
_LIMIT_MAX = 10_000  # of OpenAI's file list, its largest


def page(items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """`items` are oldest first, each with an "id"; `query` has after, before, limit and order (desc
    by default).

    Raises InvalidRequest on a parameter that is unknown or out of range.
    """
    for key in query:
        if key not in ("after", "before", "limit", "order"):
            raise InvalidRequest(
                f"query parameter {key!r:.80} is not supported: remove it", param=key
            )
    limit = _limit(query.get("limit"))
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"order is {order!r:.80}: it must be 'asc' or 'desc'", param="order")
    rows = list(items) if order == "asc" else list(reversed(items))
    ids = [row["id"] for row in rows]
    first, last = 0, len(rows)
    if "after" in query:
        first = _index(ids, query["after"], "after") + 1
    if "before" in query:
        last = _index(ids, query["before"], "before")
    window = rows[first:last]
    shown = window[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(window) > limit,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return _LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= _LIMIT_MAX):
        raise InvalidRequest(
            f"limit is {text!r:.80}: it must be between 1 and {_LIMIT_MAX}", param="limit"
        )
    return int(text)


def _index(ids: list[str], wanted: str, key: str) -> int:
    if wanted not in ids:
        raise InvalidRequest(f"{key} is {wanted!r:.80}: it must be an id from the list", param=key)
    return ids.index(wanted)
