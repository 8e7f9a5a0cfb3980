"""OpenAI's cursor pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.api.cursor import Cursor
from workers.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Limit:
    """How many a page has where nobody says, and at most."""

    default: int
    most: int


# Of OpenAI's file list, and of all that is about vector stores.
OF_FILES, OF_STORES = Limit(10_000, 10_000), Limit(20, 100)


def read_cursor(query: Mapping[str, str], allowed: Limit = OF_STORES) -> Cursor:
    """`query` has after, before, limit and order (desc by default).

    Raises InvalidRequest on a parameter that is unknown or out of range.
    """
    for key in query:
        if key not in ("after", "before", "limit", "order"):
            raise InvalidRequest(
                f"query parameter {key!r:.80} is not supported: remove it", param=key
            )
    limit = _limit(query.get("limit"), allowed)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"order is {order!r:.80}: it must be 'asc' or 'desc'", param="order")
    return Cursor(limit, order == "desc", query.get("after"), query.get("before"))


def page(
    items: Sequence[dict[str, Any]],
    query: Mapping[str, str],
    allowed: Limit = OF_STORES,
    numbers: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Of a list that is here, oldest first, each with an "id"; `numbers` as `Cursor.window` has
    them. Raises as `read_cursor` does.
    """
    by_id = {str(item["id"]): item for item in items}
    ids, has_more = read_cursor(query, allowed).window(list(by_id), numbers)
    return page_of([by_id[one] for one in ids], has_more)


def page_of(rows: Sequence[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": rows,
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
        "has_more": has_more,
    }


def _limit(text: str | None, allowed: Limit) -> int:
    if text is None:
        return allowed.default
    is_short = text.isascii() and text.isdigit() and len(text) <= 6
    if not (is_short and 1 <= int(text) <= allowed.most):
        raise InvalidRequest(
            f"limit is {text!r:.80}: it must be between 1 and {allowed.most}", param="limit"
        )
    return int(text)
