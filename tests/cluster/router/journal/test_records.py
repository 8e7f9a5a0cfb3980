"""A torn end is left out, every other change of a single byte is found and placed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.router.journal.records import MAGIC, JournalDamaged, pack, scan

PAYLOADS = [b"state", b"", b"an event", b"x" * 300, b"the last"]


def file(payloads: list[bytes] = PAYLOADS) -> bytes:
    return MAGIC + b"".join(pack(number, payload) for number, payload in enumerate(payloads))


def ends(payloads: list[bytes] = PAYLOADS) -> list[int]:
    """Where the magic and each record end."""
    sums = [len(MAGIC)]
    for payload in payloads:
        sums.append(sums[-1] + len(pack(0, payload)))
    return sums


def read(data: bytes) -> list[bytes]:
    return [payload for _, payload in scan(data)]


def test_records_come_back_with_their_offsets() -> None:
    assert list(scan(file())) == list(zip(ends()[:-1], PAYLOADS, strict=True))
    assert read(MAGIC) == read(b"") == []


def test_wherever_a_crash_cuts_the_whole_records_are_left() -> None:
    for cut in range(len(file()) + 1):
        whole = [p for p, end in zip(PAYLOADS, ends()[1:], strict=True) if end <= cut]
        assert read(file()[:cut]) == whole


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_other_single_byte_is_refused_with_the_offset_of_its_record(flip: int) -> None:
    """The last record too: it is all there, so no crash can have done that."""
    data, bounds = file(), ends()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= flip
        offset = 0 if position < len(MAGIC) else max(b for b in bounds if b <= position)
        with pytest.raises(JournalDamaged, match=rf"byte {offset}: "):
            read(bytes(damaged))


def test_damage_before_a_torn_end_is_not_taken_for_it() -> None:
    """Above all not a length that would reach beyond the end of the file."""
    data, bounds = file()[:-3], ends()
    for position in range(len(MAGIC), bounds[-2]):
        damaged = bytearray(data)
        damaged[position] ^= 0x40
        offset = max(bound for bound in bounds if bound <= position)
        with pytest.raises(JournalDamaged, match=rf"byte {offset}: "):
            read(bytes(damaged))


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=6), st.data())
def test_a_record_that_is_missing_twice_there_or_elsewhere_is_refused(
    payloads: list[bytes], data: st.DataObject
) -> None:
    records = [pack(number, payload) for number, payload in enumerate(payloads)]
    i = data.draw(st.integers(0, len(records) - 2))
    wrong = {
        "missing": records[:i] + records[i + 1 :],
        "twice": records[: i + 1] + records[i:],
        "elsewhere": [*records[:i], records[i + 1], records[i], *records[i + 2 :]],
    }
    for change in wrong.values():
        with pytest.raises(JournalDamaged, match="the head of record"):
            read(MAGIC + b"".join(change))


def test_a_file_of_something_else_is_refused() -> None:
    for other in (b"PFROUTE\x01", b"{", b"some text that is longer"):
        with pytest.raises(JournalDamaged, match="byte 0: is no router journal"):
            read(other)
