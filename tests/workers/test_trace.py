"""One record type; the hash sees all that happened and nothing of how late the host was."""

import pytest

from workers.hardware.work import Work
from workers.message import Message
from workers.trace import Trace


def traced(*notes: tuple, late_ns: int = 0) -> str:
    trace = Trace(hashed=True)
    for at_ns, what, subject in notes:
        trace.note(at_ns, what, subject, late_ns=late_ns)
    return trace.digest()


def test_the_hash_depends_on_order_time_and_content() -> None:
    base = traced((1, "run", "a"), (2, "run", "b"))
    assert base == traced((1, "run", "a"), (2, "run", "b"))
    others = [
        traced((2, "run", "b"), (1, "run", "a")),
        traced((1, "run", "a"), (3, "run", "b")),
        traced((1, "run", "a"), (2, "run", "c")),
        traced((1, "run", "a")),
    ]
    assert base not in others and len(set(others)) == len(others)


def test_lateness_is_kept_but_not_hashed() -> None:
    assert traced((1, "run", "a")) == traced((1, "run", "a"), late_ns=99)


def test_records_say_who_told_whom_what_and_when() -> None:
    trace = Trace()
    message = Message("dispatch", "chip", "shard", request_id="r1", declared_bytes=640)
    trace.delivered(message, 70, 3)
    trace.ran(Work("experts"), 100, 130, -5)
    told, ran = trace.records
    assert (told.at_ns, told.what, told.subject, told.request_id) == (
        70,
        "message",
        "dispatch",
        "r1",
    )
    assert told.detail.startswith("chip>shard 640") and told.late_ns == 3
    assert (ran.at_ns, ran.subject, ran.detail, ran.late_ns) == (130, "experts", "30", -5)
    assert trace.num_records == 2


def test_an_unhashed_trace_has_no_hash() -> None:
    with pytest.raises(AssertionError, match="keeps no hash"):
        Trace().digest()
