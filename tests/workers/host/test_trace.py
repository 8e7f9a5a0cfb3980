"""Typed records; the hash sees all that happened and nothing of how late the host was."""

import pytest

from workers.host.trace import KEPT_AT_ONCE, Delivered, Noted, Ran, Record, Sampled, Trace

TOLD = Delivered(70, "dispatch", "chip", "shard", 640, 0, "r1", 3)
RAN = Ran(130, "decode-0", "experts", 30, 1e-6, -5)
TOKEN = Sampled(131, "decode-0", "r1", 0, 42)
NOTE = Noted(140, "abort failed", "decode-0", "no answer", "r1")


def hashed(*records: Record) -> str:
    trace = Trace(hashed=True)
    for record in records:
        trace.add(record)
    return trace.digest()


def test_the_hash_depends_on_order_time_and_content() -> None:
    base = hashed(TOLD, RAN, TOKEN, NOTE)
    assert base == hashed(TOLD, RAN, TOKEN, NOTE)
    others = [
        hashed(RAN, TOLD, TOKEN, NOTE),
        hashed(TOLD, RAN, TOKEN),
        hashed(TOLD._replace(at_ns=71), RAN, TOKEN, NOTE),
        hashed(TOLD._replace(num_bytes=641), RAN, TOKEN, NOTE),
        hashed(TOLD._replace(source="other"), RAN, TOKEN, NOTE),
        hashed(TOLD, RAN._replace(took_ns=31), TOKEN, NOTE),
        hashed(TOLD, RAN, TOKEN._replace(token_id=43), NOTE),
        hashed(TOLD, RAN, TOKEN, NOTE._replace(detail="another")),
    ]
    assert base not in others and len(set(others)) == len(others)


def test_lateness_is_kept_but_not_hashed() -> None:
    assert hashed(TOLD, RAN) == hashed(TOLD._replace(late_ns=99), RAN._replace(late_ns=99))


def test_records_are_kept_in_order_and_counted() -> None:
    trace = Trace()
    trace.add(TOLD)
    trace.note(140, "abort failed", "decode-0", "no answer", "r1")
    assert list(trace.records) == [TOLD, NOTE] and trace.num_records == 2


class Counted:
    """A record that counts how often it was put into the hash."""

    num_lines = 0

    def line(self) -> str:
        self.num_lines += 1
        return ""


def test_what_is_not_hashed_yet_is_bounded() -> None:
    """All at once as soon as there are so many, and not before: a long run keeps no more."""
    record, trace = Counted(), Trace(hashed=True)
    for _ in range(KEPT_AT_ONCE - 1):
        trace.add(record)  # type: ignore[arg-type]
    assert (record.num_lines, trace.num_records) == (0, KEPT_AT_ONCE - 1)
    trace.add(record)  # type: ignore[arg-type]
    assert (record.num_lines, trace.num_records) == (KEPT_AT_ONCE, KEPT_AT_ONCE)
    trace.add(record)  # type: ignore[arg-type]
    assert (record.num_lines, trace.num_records) == (KEPT_AT_ONCE, KEPT_AT_ONCE + 1)


def test_what_is_told_without_them_is_nothing() -> None:
    """Nobody was late, and no request is meant."""
    assert Delivered(1, "kind", "a", "b", 2, 3, "r").late_ns == 0
    assert Ran(1, "node", "work", 2, 0.5).late_ns == 0
    assert Noted(1, "what", "subject") == (1, "what", "subject", "", "")


def test_an_unhashed_trace_has_no_hash() -> None:
    with pytest.raises(AssertionError, match="keeps no hash"):
        Trace().digest()
