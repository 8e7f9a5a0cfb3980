"""Lists, objects and keys of a body are counted before it is read, and only those outside texts."""

import orjson
import pytest

from cluster.gateway import values
from cluster.gateway.values import check_parts
from workers.errors import InvalidRequest

TEXTS = ["[{:", '"', "\\", '\\"', '\\\\"[', "é:[", ""]


@pytest.mark.parametrize("slice_bytes", [1, 7, 1 << 18])
def test_what_is_in_texts_is_not_counted(monkeypatch: pytest.MonkeyPatch, slice_bytes: int) -> None:
    monkeypatch.setattr(values, "_SLICE_BYTES", slice_bytes)
    # The object, its 7 + 2 keys, the list, and the 3 lists and 1 object with 1 key in it.
    value = {text: text for text in TEXTS} | {"a": TEXTS, "b": [[], [[]], {"k": "[" * 50}]}
    right = 1 + 9 + 2 + 3 + 1 + 1
    raw = orjson.dumps(value)
    monkeypatch.setattr(values, "PARTS_MAX", right)
    check_parts(raw)
    monkeypatch.setattr(values, "PARTS_MAX", right - 1)
    with pytest.raises(InvalidRequest, match=f"more than {right - 1} lists, objects and keys"):
        check_parts(raw)
