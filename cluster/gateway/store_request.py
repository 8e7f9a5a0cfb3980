"""What is asked about vector stores: bodies, field by field. Raises InvalidRequest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.gateway.fields import Fields
from cluster.gateway.retrieval_request import TOP_K_MAX
from cluster.gateway.store_client import BY_LINES, STATUSES
from cluster.retrieval.narrowing import check_narrowing
from configs.outside import shown
from configs.schema.placement import SIZE_MAX, SIZES
from workers.errors import InvalidRequest
from workers.memory.index.choice import KINDS

# OpenAI's limits.
PAIRS_MAX, KEY_CHARS_MAX, TEXT_CHARS_MAX = 16, 64, 512

CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX = 100, 4096
EXPIRES_DAYS_MAX = 365
QUERIES_MAX = 32

# A description changes nothing, and is not kept: an empty one asks for nothing.
STORE_NEUTRAL: dict[str, tuple[Any, ...]] = {"description": ("",)}
_SEARCH_NEUTRAL: dict[str, tuple[Any, ...]] = {"rewrite_query": (False,)}
RANKERS = ("auto", "default-2024-11-15", "none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, with its attributes, and how it is cut into passages; None where nobody says."""

    file_id: str
    attributes: Mapping[str, Any] | None = None
    chunking: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A search for any of the queries. `least`: hits of a lower score are none."""

    queries: Sequence[str]
    top_k: int
    narrowing: Mapping[str, Any] | None
    least: float


def read_search(fields: Fields) -> Asked:
    given = fields.take("query")
    queries = given if isinstance(given, list) else [given]
    if not 1 <= len(queries) <= QUERIES_MAX or not all(map(_is_query, queries)):
        raise fields.wrong(
            "query", given, f"a string that is not blank, or a list of 1 to {QUERIES_MAX} of them"
        )
    top_k = fields.integer("max_num_results", 10, 1, TOP_K_MAX) or 10
    least = _read_ranking(fields)
    narrowing = fields.take("filters")
    if narrowing is not None:
        try:
            check_narrowing(narrowing)
        except ValueError as error:
            raise InvalidRequest(str(error), param="filters") from error
    fields.refuse_rest(frozenset(), _SEARCH_NEUTRAL)
    return Asked(queries, top_k, narrowing, least)


def _is_query(given: object) -> bool:
    return isinstance(given, str) and bool(given.strip())


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


def read_attributes(given: object, where: str = "attributes") -> dict[str, Any] | None:
    """Texts, numbers and truth values by name; None where there is none."""
    if given is None:
        return None
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
    chunking = read_chunking(fields)
    wanted = [Wanted(file_id, shared, chunking) for file_id in file_ids]
    if files is not None:
        if file_ids or shared or chunking not in (None, BY_LINES):
            text = "files says of each file what file_ids, attributes and chunking_strategy do"
            raise InvalidRequest(f"{text}: leave those out", param="files")
        if not isinstance(files, list) or len(files) > most:
            raise fields.wrong("files", files, f"a list of at most {most} files")
        wanted = [read_file(each, f"files[{index}]") for index, each in enumerate(files)]
    fields.refuse_rest(frozenset(), {})
    if not wanted:
        raise InvalidRequest("file_ids is empty: name at least one file", param="file_ids")
    return list({one.file_id: one for one in wanted}.values())


def read_file(given: object, where: str = "") -> Wanted:
    fields = given if isinstance(given, Fields) else Fields(given, where)
    file_id = fields.string("file_id")
    attributes = read_attributes(fields.take("attributes"), fields.name("attributes"))
    wanted = Wanted(file_id, attributes, read_chunking(fields))
    fields.refuse_rest(frozenset(), {})
    return wanted


def read_chunking(fields: Fields) -> tuple[int, int] | None:
    """Tokens of a passage, and those that the next one repeats; None where nobody says."""
    given = fields.take("chunking_strategy")
    if given is None:
        return None
    where = fields.name("chunking_strategy")
    strategy = Fields(given, where)
    kind = strategy.take("type")
    if kind not in ("auto", "static"):
        raise strategy.wrong("type", kind, "'auto' or 'static'")
    if kind == "auto":
        strategy.refuse_rest(frozenset(), {})
        return BY_LINES
    static = Fields(strategy.take("static"), f"{where}.static")
    strategy.refuse_rest(frozenset(), {})
    size = static.integer("max_chunk_size_tokens", 800, CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX) or 0
    overlap = static.integer("chunk_overlap_tokens", size // 2, 0, size // 2) or 0
    static.refuse_rest(frozenset(), {})
    return size, overlap


def read_index(fields: Fields) -> dict[str, Any]:
    """`kind` and its sizes, as a collection of a scenario has them; nothing for an exact scan."""
    given = fields.take("index")
    if given is None:
        return {}
    index = Fields(given, "index")
    kind = index.string("kind")
    if kind not in KINDS:
        raise index.wrong("kind", kind, f"one of {', '.join(KINDS)}")
    sizes: dict[str, int] = {}
    for key, kinds in SIZES.items():
        size = index.integer(key, None, 1, SIZE_MAX)
        if size is not None and kind not in kinds:
            raise index.wrong(key, size, f"left out, or kind {' or '.join(kinds)}")
        sizes |= {} if size is None else {key: size}
    index.refuse_rest(frozenset(), {})
    return {"kind": kind, **sizes}


def read_expiry(fields: Fields) -> int | None:
    """Days after which a store that nobody uses goes; None where nobody says."""
    given = fields.take("expires_after")
    if given is None:
        return None
    after = Fields(given, "expires_after")
    anchor = after.take("anchor")
    if anchor != "last_active_at":
        raise after.wrong("anchor", anchor, "'last_active_at'")
    days = after.integer("days", None, 1, EXPIRES_DAYS_MAX)
    if days is None:
        raise InvalidRequest("expires_after.days is missing", param="expires_after.days")
    after.refuse_rest(frozenset(), {})
    return days


def _wrong(where: str, value: object, right: str) -> InvalidRequest:
    return InvalidRequest(f"{where[:80]} is {shown(value)}: it must be {right}", param=where[:80])


def read_status(query: dict[str, str]) -> str:
    """Taken out of it; "" where there is none."""
    status = query.pop("filter", "")
    if status and status not in STATUSES:
        raise _wrong("filter", status, f"one of {', '.join(STATUSES)}")
    return status
