"""What a scenario says about numbers."""

import pytest

from configs.precision import EXACT, Precision
from configs.schema.model import ModelSection


@pytest.mark.parametrize(
    ("keys", "precision"),
    [
        ({}, EXACT),
        ({"dtype": "float32", "kv_cache_dtype": "fp32"}, EXACT),
        ({"dtype": "bfloat16"}, Precision("bf16", "bf16")),
        ({"dtype": "bf16", "quantization": "int8"}, Precision("int8", "bf16")),
        (
            {"dtype": "bf16", "quantization": "int4", "kv_cache_dtype": "int8"},
            Precision("int4", "int8"),
        ),
        ({"dtype": "bf16", "kv_cache_dtype": "float32"}, Precision("bf16", "fp32")),
    ],
)
def test_keys(keys: dict[str, str], precision: Precision) -> None:
    section = ModelSection.model_validate(keys)
    assert section.precision == precision
    assert precision.exact == (precision == EXACT)


@pytest.mark.parametrize(
    ("keys", "rows"),
    [
        ({}, "fp32"),
        ({"dispatch_dtype": "float32"}, "fp32"),
        ({"dtype": "bf16"}, "bf16"),
        ({"dtype": "bf16", "dispatch_dtype": "int8"}, "int8"),
        ({"dtype": "bf16", "quantization": "int8"}, "int8"),
        ({"dtype": "bf16", "quantization": "int4"}, "int8"),
        ({"dtype": "bf16", "quantization": "int4", "dispatch_dtype": "bfloat16"}, "bf16"),
    ],
)
def test_rows_travel_as_the_arithmetic_has_them_unless_told(
    keys: dict[str, str], rows: str
) -> None:
    assert ModelSection.model_validate(keys).rows == rows


def test_names_of_what_is_computed() -> None:
    assert [str(p) for p in (EXACT, Precision("bf16", "bf16"), Precision("int4", "int8"))] == [
        "fp32 (exact)",
        "bf16",
        "int4, KV int8",
    ]
    assert (Precision("int4").arithmetic, Precision("int4").head) == ("int8", "int8")
