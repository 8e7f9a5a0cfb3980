"""Records with right checksums that no router wrote: damage that is named, never another error."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.router.journal.codec import encode
from cluster.router.journal.records import MAGIC, JournalDamaged, pack
from cluster.router.journal.recovery import replay
from cluster.router.machine.events import EVENTS, RequestSubmitted
from tests.cluster.router.machine.requests import asked, fresh, tokenizer

NAMES = st.sampled_from([kind.__name__ for kind in EVENTS] + ["RouterState", "Nonsense", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def journal(*payloads: bytes) -> bytes:
    return MAGIC + b"".join(pack(number, payload) for number, payload in enumerate(payloads))


def right_event() -> tuple[bytes, dict[str, Any]]:
    event = encode(RequestSubmitted(1, asked("r1"), 10**9, "gateway", 1))
    name, _, fields = event.partition(b" ")
    return name, json.loads(fields)


@settings(max_examples=300)
@given(name=NAMES, value=JSON, data=st.data())
def test_any_record_is_replayed_or_damage(name: str, value: Any, data: st.DataObject) -> None:
    state = encode(fresh())
    known, fields = right_event()
    key = data.draw(st.sampled_from(sorted(fields)))
    for record in (
        name.encode() + b" " + json.dumps(value).encode(),
        known + b" " + json.dumps(fields | {key: value}).encode(),
        data.draw(st.binary(max_size=40)),
    ):
        for written in (journal(record), journal(state, record)):
            with suppress(JournalDamaged):
                replay(written, tokenizer())


@pytest.mark.parametrize("fields", [b"[" * 5000, b"{}", b"[]", b"null", b"1e400", b"\xff", b""])
def test_a_record_of_another_shape_is_damage(fields: bytes) -> None:
    state = encode(fresh())
    for kind in EVENTS:
        with pytest.raises(JournalDamaged, match="byte "):
            replay(journal(state, kind.__name__.encode() + b" " + fields), tokenizer())
    with pytest.raises(JournalDamaged, match="is no record of ours"):
        replay(journal(b"RouterState " + fields), tokenizer())
