"""A page says who it is at both ends, and no change of a byte goes unseen."""

from workers.flash.geometry import FlashGeometry
from workers.flash.pages import (
    Header,
    Kind,
    data_of,
    encode,
    identify,
    ids_max,
    ids_of,
    is_whole,
    list_body,
)

GEOMETRY = FlashGeometry(num_blocks=4, spare_blocks=2, page_bytes=512)
STORE, PLACE = 77, 5


def header(kind: Kind, logical: int, length: int) -> Header:
    return Header(kind, STORE, logical, 1234, 99, 0, 1, length, 3)


def data_page() -> bytes:
    return encode(header(Kind.DATA, 42, 512), b"k" * 512, GEOMETRY, PLACE)


def list_page(ids: tuple[int, ...]) -> bytes:
    said = header(Kind.TRIM, len(ids), 8 * len(ids))
    return encode(said, list_body(ids, GEOMETRY), GEOMETRY, PLACE)


def test_what_was_written_is_read() -> None:
    raw = data_page()
    assert len(raw) == 1024
    found = identify(raw, PLACE, STORE)
    assert found is not None and is_whole(raw, found)
    assert (found.kind, found.logical, found.sequence, found.digest) == (Kind.DATA, 42, 1234, 99)
    assert data_of(raw, found) == b"k" * 512


def test_a_page_of_another_place_or_store_is_nobody() -> None:
    raw = data_page()
    assert identify(raw, PLACE + 1, STORE) is None
    assert identify(raw, PLACE, STORE + 1) is None
    assert identify(bytes(1024), PLACE, STORE) is None


def test_every_flip_is_seen_and_the_page_still_says_who_it_is() -> None:
    raw = data_page()
    for offset in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[offset] ^= 1 << bit
            found = identify(bytes(changed), PLACE, STORE)
            assert found is not None and found.logical == 42
            assert not is_whole(bytes(changed), found)


def test_a_lost_sector_takes_neither_the_name_nor_a_list_along() -> None:
    ids = tuple(range(1000, 1000 + ids_max(GEOMETRY)))
    assert len(ids) == 16
    raw = list_page(ids)
    for sector in (0, 1):
        changed = bytearray(raw)
        changed[sector * 512 : (sector + 1) * 512] = bytes(512)
        found = identify(bytes(changed), PLACE, STORE)
        assert found is not None and not is_whole(bytes(changed), found)
        assert ids_of(bytes(changed), found) == ids


def test_a_list_whose_copies_are_both_gone_names_nobody() -> None:
    raw = bytearray(list_page((1, 2)))
    raw[80] ^= 1
    raw[-90] ^= 1
    found = identify(bytes(raw), PLACE, STORE)
    assert found is not None and ids_of(bytes(raw), found) is None


def test_of_two_headers_the_newer_one_speaks() -> None:
    old, new = data_page(), encode(
        Header(Kind.DATA, STORE, 7, 5000, 1, 0, 1, 512, 3), bytes(512), GEOMETRY, PLACE
    )  # fmt: skip
    mixed = new[:512] + old[512:]
    found = identify(mixed, PLACE, STORE)
    assert found is not None and found.logical == 7 and not is_whole(mixed, found)
