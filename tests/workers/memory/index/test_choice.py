"""Sizes of an index, worked out by hand."""

import pytest

from workers.memory.index.choice import EXACT, IndexChoice, Sizes, default_m

FLAT, CODED = IndexChoice("ivf_flat"), IndexChoice("ivf_pq")


def test_sizes_that_are_left_out_follow_from_the_number_of_passages() -> None:
    """2 sqrt(1,000,000) lists, one in 16 of them, 384 / 8 bytes; of few passages, one list for 39:
    10,000 / 39 > 2 sqrt(10,000), but 1,000 / 39 < 2 sqrt(1,000).
    """
    assert CODED.sizes(1_000_000, 384) == Sizes(2_000, 125, 48, 256)
    assert FLAT.sizes(1_000_000, 384) == Sizes(2_000, 125, 0, 0)
    assert FLAT.sizes(10_000, 384) == Sizes(200, 13, 0, 0)
    assert FLAT.sizes(1_000, 384) == Sizes(25, 2, 0, 0)
    assert FLAT.sizes(1, 384) == Sizes(1, 1, 0, 0)


def test_sizes_that_were_asked_for_stay() -> None:
    asked = IndexChoice("ivf_pq", nlist=100, nprobe=7, m=24, rerank=50)
    assert asked.sizes(1_000_000, 384) == Sizes(100, 7, 24, 50)
    # Of more lists than there are, all are probed.
    assert IndexChoice("ivf_flat", nprobe=500).sizes(10_000, 384) == Sizes(200, 200, 0, 0)


@pytest.mark.parametrize(("dim", "m"), [(384, 48), (1024, 128), (8, 1), (7, 1), (30, 3), (1, 1)])
def test_codes_have_a_byte_for_eight_dimensions_or_more(dim: int, m: int) -> None:
    assert default_m(dim) == m


def test_an_index_is_trained_when_enough_is_there_and_again_when_twice_as_much_is() -> None:
    assert not EXACT.is_due(10**9, 0)
    assert [FLAT.is_due(n, 0) for n in (4_095, 4_096)] == [False, True]
    assert [FLAT.is_due(n, 5_000) for n in (9_999, 10_000)] == [False, True]
    # 39 points for each of 256 code words, and for each of 1,000 lists.
    assert [CODED.is_due(n, 0) for n in (9_983, 9_984)] == [False, True]
    many = IndexChoice("ivf_flat", nlist=1_000)
    assert [many.is_due(n, 0) for n in (38_999, 39_000)] == [False, True]


def test_what_fits_no_vectors_is_refused_with_what_would() -> None:
    IndexChoice("ivf_pq", m=48).check(384)
    with pytest.raises(ValueError, match=r"m is 50: it must divide the 384 .* as 48 or 64 does"):
        IndexChoice("ivf_pq", m=50).check(384)
    with pytest.raises(ValueError, match=r"m is 999: it must divide the 384 .* as 384 does"):
        IndexChoice("ivf_pq", m=999).check(384)


def test_more_lists_than_a_part_can_be_cut_into_are_refused() -> None:
    """1,100 / 39 = 28.2."""
    IndexChoice("ivf_flat", nlist=28).check_rows(1_100)
    IndexChoice("ivf_flat").check_rows(0)
    IndexChoice("ivf_flat", nlist=1).check_rows(5)  # one list is a scan
    with pytest.raises(ValueError, match=r"nlist is 29, .* of 1,100, .* at most 28 can be"):
        IndexChoice("ivf_flat", nlist=29).check_rows(1_100)


def test_a_choice_travels_as_what_is_not_left_out() -> None:
    assert EXACT.to_plain() == {} and IndexChoice.from_plain({}) == EXACT
    asked = IndexChoice("ivf_pq", nprobe=7)
    assert asked.to_plain() == {"kind": "ivf_pq", "nprobe": 7}
    assert IndexChoice.from_plain(asked.to_plain()) == asked


@pytest.mark.parametrize(
    "plain",
    [{"kind": "hnsw"}, {"kind": "ivf_pq", "ef": 3}, {"nlist": 0}, {"nlist": True}, {"m": "4"}],
)
def test_a_choice_that_nobody_makes_is_refused(plain: dict) -> None:
    with pytest.raises(ValueError, match="index is"):
        IndexChoice.from_plain(plain)
