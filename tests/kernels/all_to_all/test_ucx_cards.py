"""Whatever is given for an address: a rank of this cluster, or a clear refusal."""

import random

import pytest

from kernels.all_to_all import AttachRefused, Geometry, card
from tests.kernels.all_to_all.ranks import NEEDS_LIBUCX, SECRET, geometry

CARD = card.Card(1, 5, bytes(range(16)), bytes(16), frozenset({0, 3}), b"where UCX is")


def shown(sizes: Geometry, secret: bytes = SECRET) -> bytes:
    return card.written(CARD, sizes, secret)


def test_what_is_written_is_read():
    assert card.read(shown(geometry()), geometry(), SECRET) == CARD


@pytest.mark.parametrize(
    ("sizes", "secret", "words"),
    [
        (geometry(), b"another cluster's secret", "signed with another secret"),
        (geometry(capacity=17), SECRET, "its capacity is 17; here it is 16"),
        (geometry(hidden=100), SECRET, "its hidden is 100; here it is 200"),
        (geometry(send="bf16"), SECRET, "its send is 1; here it is 0"),
    ],
)
def test_a_card_of_another_cluster(sizes, secret, words):
    with pytest.raises(AttachRefused, match=words):
        card.read(shown(sizes, secret), geometry(), SECRET)


def test_a_later_version(monkeypatch):
    monkeypatch.setattr(card, "VERSION", 2)
    later = shown(geometry())
    monkeypatch.undo()
    with pytest.raises(AttachRefused, match="has version 2; this is version 1"):
        card.read(later, geometry(), SECRET)


def test_garbage():
    """Each bit changed, one at a time, and what is cut short or longer."""
    whole = shown(geometry())
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AttachRefused, match=r"begins with|has version|signed with another"):
            card.read(bytes(changed), geometry(), SECRET)
    for length in range(len(whole)):
        with pytest.raises(AttachRefused):
            card.read(whole[:length], geometry(), SECRET)
    chance = random.Random(5)
    for length in (0, 1, 300):
        with pytest.raises(AttachRefused, match="begins with"):
            card.read(chance.randbytes(length), geometry(), SECRET)


def test_tags_are_of_one_incarnation_and_secret():
    one = card.token_of(bytes(16), SECRET)
    assert one == card.token_of(bytes(16), SECRET) < 1 << 51
    assert one != card.token_of(b"\1" + bytes(15), SECRET)
    assert one != card.token_of(bytes(16), b"another cluster's secret")


@NEEDS_LIBUCX
def test_a_rank_attaches_itself_and_strangers_to_nobody():
    from kernels.all_to_all import UcxAllToAll

    rank = UcxAllToAll(geometry(), 0, SECRET)
    stranger = UcxAllToAll(geometry(), 1, b"another cluster's secret")
    with pytest.raises(AttachRefused, match="rank 0 is this one"):
        rank.attach(rank.address)
    with pytest.raises(AttachRefused, match="signed with another secret"):
        rank.attach(stranger.address)
    assert rank.alive() == (0,)
    rank.close()
    stranger.close()
