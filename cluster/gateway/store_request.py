"""What is asked about vector stores: bodies, field by field. Raises InvalidRequest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.gateway.fields import Fields
from cluster.gateway.generation import TOP_K_MAX
from cluster.gateway.store_client import STATUSES
from cluster.retrieval.narrowing import check_narrowing
from configs.outside import shown
from workers.errors import InvalidRequest

# OpenAI's limits.
PAIRS_MAX, KEY_CHARS_MAX, TEXT_CHARS_MAX = 16, 64, 512

# What these would do is not done; an empty one asks for nothing.
STORE_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "description": ("",),
    "chunking_strategy": ({"type": "auto"},),
}
_SEARCH_NEUTRAL: dict[str, tuple[Any, ...]] = {"rewrite_query": (False,)}
RANKERS = ("auto", "default-2024-11-15", "none")

# A file id, and its attributes.
Wanted = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A search. `least`: hits of a lower score are none."""

    query: str
    top_k: int
    narrowing: Mapping[str, Any] | None
    least: float


def read_search(fields: Fields) -> Asked:
    query = fields.take("query")
    if isinstance(query, list) and len(query) == 1:
        query = query[0]
    if not isinstance(query, str) or not query.strip():
        raise fields.wrong("query", query, "a non-empty string")
    top_k = fields.integer("max_num_results", 10, 1, TOP_K_MAX) or 10
    least = _read_ranking(fields)
    narrowing = fields.take("filters")
    if narrowing is not None:
        try:
            check_narrowing(narrowing)
        except ValueError as error:
            raise InvalidRequest(str(error), param="filters") from error
    fields.refuse_rest(frozenset(), _SEARCH_NEUTRAL)
    return Asked(query, top_k, narrowing, least)


def _read_ranking(fields: Fields) -> float:
    given = fields.take("ranking_options")
    if given is None:
        return 0.0
    options = Fields(given, "ranking_options")
    ranker = options.take("ranker")
    if ranker is not None and ranker not in RANKERS:
        raise options.wrong("ranker", ranker, f"one of {', '.join(RANKERS)}")
    least = options.number("score_threshold", 0.0, 0.0, 1.0)
    options.refuse_rest(frozenset(), {})
    return least


def read_metadata(fields: Fields) -> dict[str, str] | None:
    """Texts by name; None where there is none."""
    given = fields.take("metadata")
    if given is None:
        return None
    pairs = _read_pairs("metadata", given)
    for key, value in pairs.items():
        if not isinstance(value, str):
            raise _wrong(f"metadata.{key}", value, "a string")
    return pairs


def read_attributes(given: object, where: str = "attributes") -> dict[str, Any]:
    """Texts, numbers and truth values by name."""
    if given is None:
        return {}
    pairs = _read_pairs(where, given)
    for key, value in pairs.items():
        if not isinstance(value, str | int | float):
            raise _wrong(f"{where}.{key}", value, "a string, a number or a boolean")
    return pairs


def _read_pairs(where: str, given: object) -> dict[str, Any]:
    if not isinstance(given, dict) or len(given) > PAIRS_MAX:
        raise _wrong(where, given, f"an object of at most {PAIRS_MAX} pairs")
    for key, value in given.items():
        if not 1 <= len(key) <= KEY_CHARS_MAX:
            text = f"{where} has the key {shown(key)}: keys have 1 to {KEY_CHARS_MAX} characters"
            raise InvalidRequest(text, param=where)
        if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
            raise _wrong(f"{where}.{key}", value, f"at most {TEXT_CHARS_MAX} characters")
    return given


def read_file_ids(fields: Fields, most: int) -> list[str]:
    """Each once."""
    given = fields.take("file_ids") or []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise fields.wrong("file_ids", given, "a list of file ids")
    if len(given) > most:
        raise InvalidRequest(f"file_ids has {len(given)} files: at most {most}", param="file_ids")
    return list(dict.fromkeys(given))


def read_batch(fields: Fields, most: int) -> list[Wanted]:
    """`file_ids`, which share their attributes, or `files`, each with its own."""
    files = fields.take("files")
    file_ids = read_file_ids(fields, most)
    shared = read_attributes(fields.take("attributes"))
    wanted: list[Wanted] = [(file_id, shared) for file_id in file_ids]
    if files is not None:
        if file_ids or shared:
            raise InvalidRequest("files has file ids and attributes: leave out the others")
        if not isinstance(files, list) or len(files) > most:
            raise fields.wrong("files", files, f"a list of at most {most} files")
        wanted = [_read_file(each, f"files[{index}]") for index, each in enumerate(files)]
    fields.refuse_rest(frozenset(), STORE_NEUTRAL)
    if not wanted:
        raise InvalidRequest("file_ids is empty: name at least one file", param="file_ids")
    return list(dict(wanted).items())


def _read_file(given: object, where: str) -> Wanted:
    fields = Fields(given, where)
    file_id = fields.string("file_id")
    attributes = read_attributes(fields.take("attributes"), f"{where}.attributes")
    fields.refuse_rest(frozenset(), STORE_NEUTRAL)
    return file_id, attributes


def _wrong(where: str, value: object, right: str) -> InvalidRequest:
    return InvalidRequest(f"{where[:80]} is {shown(value)}: it must be {right}", param=where[:80])


def read_status(query: dict[str, str]) -> str:
    """Taken out of it; "" where there is none."""
    status = query.pop("filter", "")
    if status and status not in STATUSES:
        raise _wrong("filter", status, f"one of {', '.join(STATUSES)}")
    return status
