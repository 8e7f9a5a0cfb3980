"""Numbers of schemas that float64 does not have: never another one in the answer."""

from typing import Any

import pytest

from tests.cluster.gateway.schemas import lets_through, refusal

ODD = 9007199254740993  # 2^53 + 1: float64 has its neighbours alone
INT64 = (1 << 63) - 1


@pytest.mark.parametrize(
    ("asked", "keyword", "number"),
    [
        ({"const": ODD}, "const", ODD),
        ({"const": -ODD}, "const", -ODD),
        ({"enum": [1, 1234567890123456789]}, "enum", 1234567890123456789),
        ({"const": 18446744073709551615}, "const", 18446744073709551615),
        ({"const": 1 << 63}, "const", 1 << 63),
        ({"const": 123456789.12345679}, "const", 123456789.12345679),
        ({"const": {"b": [1, {"c": ODD}]}}, "const", ODD),
        ({"type": "array", "items": {"anyOf": [{"enum": [[ODD]]}]}}, "enum", ODD),
        ({"type": "integer", "multipleOf": ODD}, "multipleOf", ODD),
        ({"type": "number", "multipleOf": 0.1234567890123456}, "multipleOf", 0.1234567890123456),
        ({"type": "integer", "minimum": ODD, "maximum": ODD}, "minimum", ODD),
        ({"type": "integer", "minimum": 1 << 63}, "minimum", 1 << 63),
        ({"type": "integer", "maximum": -1e19}, "maximum", -1e19),
    ],
)
def test_what_the_grammar_would_change_is_refused(asked: Any, keyword: str, number: float) -> None:
    assert f"{keyword} {number}" in refusal(asked)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"const": ODD + 1}, "9007199254740994"),
        ({"const": ODD - 1}, "9007199254740992"),
        ({"const": 1 << 60}, "1152921504606846976"),
        ({"enum": [0.1, 123456789.123456]}, "123456789.123456"),
        ({"const": 1e-7}, "0.0000001"),
        ({"const": [-0.5, 1e21]}, "[-0.5, 1000000000000000000000]"),
        ({"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1}, "0.01"),
    ],
)
def test_what_it_has_is_enforced(asked: Any, text: str) -> None:
    assert lets_through(asked, text)


WHOLE = {"type": "integer"}
ANY = {"type": "number"}


@pytest.mark.parametrize(
    ("asked", "inside", "outside"),
    [
        (WHOLE | {"minimum": ODD, "maximum": ODD + 2}, [ODD + 1], [ODD - 1, ODD + 3]),
        (WHOLE | {"exclusiveMinimum": ODD - 1}, [ODD + 1], [ODD - 1]),
        (WHOLE | {"exclusiveMaximum": 1 - ODD}, [-ODD - 1], [1 - ODD]),
        (WHOLE | {"exclusiveMinimum": ODD - 1, "minimum": ODD + 5}, [ODD + 5], [ODD + 1]),
        (ANY | {"exclusiveMinimum": ODD - 1}, [ODD + 1], [ODD - 1]),
        (WHOLE | {"minimum": -INT64 - 1, "maximum": INT64}, [9 * 10**18, -9 * 10**18], [INT64 + 1]),
        (WHOLE | {"minimum": 0, "maximum": (1 << 64) - 1}, [0, 9 * 10**18], [1 << 64]),
        (
            ANY | {"minimum": 123456789.12345679, "maximum": 123456790},
            [123456789.123457],
            [123456789.12345678],
        ),
        (ANY | {"minimum": 0.5, "exclusiveMaximum": 1}, [0.5, 0.75], [0.25, 1]),
    ],
)
def test_bounds_move_inwards(asked: Any, inside: list[float], outside: list[float]) -> None:
    for number in inside:
        assert lets_through(asked, repr(number))
    for number in outside:
        assert not lets_through(asked, repr(number))


@pytest.mark.parametrize(
    ("asked", "inside", "outside"),
    [
        ({"type": "string", "maxLength": 3.0}, '"abc"', '"abcd"'),
        ({"type": "array", "items": {"const": 1}, "minItems": 1.0}, "[1]", "[]"),
    ],
)
def test_counts_may_be_written_as_decimals(asked: Any, inside: str, outside: str) -> None:
    assert lets_through(asked, inside) and not lets_through(asked, outside)
    assert "minProperties 5" in refusal({"minProperties": 5.0})
    assert "maxLength" in refusal({"type": "string", "maxLength": 3.5})
