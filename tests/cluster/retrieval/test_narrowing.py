"""Filters over attributes, by hand."""

import pytest

from cluster.retrieval.narrowing import COMPARISONS_MAX, DEPTH_MAX, check_narrowing, fits

ATTRIBUTES = {"year": 2024, "name": "b", "draft": True, "share": 0.5}


def compare(kind: str, key: str, value: object) -> dict[str, object]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("kind", "key", "value", "right"),
    [
        ("eq", "year", 2024, True),
        ("eq", "year", 2024.0, True),
        ("eq", "year", "2024", False),
        ("eq", "draft", True, True),
        ("eq", "draft", 1, False),  # a truth value is no number
        ("ne", "draft", 1, True),
        ("ne", "name", "b", False),
        ("gt", "year", 2023, True),
        ("gt", "year", 2024, False),
        ("gte", "year", 2024, True),
        ("lt", "share", 0.6, True),
        ("lte", "share", 0.4, False),
        ("gt", "name", "a", True),
        ("gt", "name", 0, False),  # no order between a text and a number
        ("in", "year", [1, 2024], True),
        ("in", "draft", [1], False),
        ("nin", "year", [1, 2], True),
        ("nin", "name", ["b"], False),
        ("eq", "missing", "", False),
        ("gt", "missing", 0, False),
        ("in", "missing", [0], False),
        ("ne", "missing", 0, True),
        ("nin", "missing", [0], True),
    ],
)
def test_comparisons(kind: str, key: str, value: object, right: bool) -> None:
    narrowing = compare(kind, key, value)
    check_narrowing(narrowing)
    assert fits(narrowing, ATTRIBUTES) is right


def test_and_or_and_what_is_inside_them() -> None:
    yes, no = compare("eq", "year", 2024), compare("eq", "year", 1)
    for kind, inner, right in (
        ("and", [yes, yes], True),
        ("and", [yes, no], False),
        ("or", [no, yes], True),
        ("or", [no, no], False),
        ("and", [yes, {"type": "or", "filters": [no, yes]}], True),
    ):
        narrowing = {"type": kind, "filters": inner}
        check_narrowing(narrowing)
        assert fits(narrowing, ATTRIBUTES) is right


def deep(depth: int) -> dict[str, object]:
    inner = compare("eq", "a", 1)
    for _ in range(depth):
        inner = {"type": "and", "filters": [inner]}
    return inner


def test_what_is_no_filter_is_refused_by_name() -> None:
    check_narrowing(deep(DEPTH_MAX))
    check_narrowing(compare("in", "a", list(range(COMPARISONS_MAX))))
    for wrong, what in (
        ([], r"filters is \[\]: it must be a JSON object"),
        ({}, "filters.type is"),
        (compare("like", "a", "b"), "it must be one of eq, ne, in, nin, gt"),
        (compare("eq", "a", [1]), "filters.value is"),
        (compare("eq", "a", None), "a string, number or boolean"),
        (compare("in", "a", "b"), "a list of strings"),
        (compare("in", "a", [[1]]), "a list of strings"),
        ({"type": "eq", "key": 3, "value": 1}, "filters.key is 3"),
        ({**compare("eq", "a", 1), "odd": 1}, "filters.odd is not supported"),
        ({"type": "and", "filters": []}, "it must be a list of filters"),
        ({"type": "or", "filters": [compare("eq", "a", 1), {"type": "x"}]}, r"filters\[1\].type"),
        (deep(DEPTH_MAX + 1), "nested deeper"),
        ({"type": "or", "filters": [compare("eq", "a", 1)] * 300}, "more than 256 comparisons"),
    ):
        with pytest.raises(ValueError, match=what):
            check_narrowing(wrong)
