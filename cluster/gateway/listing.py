"""OpenAI's cursor pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.api.cursor import Cursor
from workers.errors import InvalidRequest

_LIMIT_DEFAULT = 20
# Of OpenAI's file list, and of all that is about vector stores.
FILES_LIMIT_MAX, STORES_LIMIT_MAX = 10_000, 100


def read_cursor(query: Mapping[str, str], limit_max: int = STORES_LIMIT_MAX) -> Cursor:
    """`query` has after, before, limit and order (desc by default).

    Raises InvalidRequest on a parameter that is unknown or out of range.
    """
    for key in query:
        if key not in ("after", "before", "limit", "order"):
            raise InvalidRequest(
                f"query parameter {key!r:.80} is not supported: remove it", param=key
            )
    limit = _limit(query.get("limit"), limit_max)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"order is {order!r:.80}: it must be 'asc' or 'desc'", param="order")
    return Cursor(limit, order == "desc", query.get("after"), query.get("before"))


def page(
    items: Sequence[dict[str, Any]], query: Mapping[str, str], limit_max: int = STORES_LIMIT_MAX
) -> dict[str, Any]:
    """Of a list that is here, oldest first, each with an "id"; raises as `read_cursor` does."""
    by_id = {str(item["id"]): item for item in items}
    ids, has_more = read_cursor(query, limit_max).window(list(by_id))
    return page_of([by_id[one] for one in ids], has_more)


def page_of(rows: Sequence[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": rows,
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
        "has_more": has_more,
    }


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return _LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= most):
        raise InvalidRequest(
            f"limit is {text!r:.80}: it must be between 1 and {most}", param="limit"
        )
    return int(text)
