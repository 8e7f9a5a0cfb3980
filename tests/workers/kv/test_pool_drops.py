"""Blocks that leave a pool because somebody says so."""

from tests.workers.kv.test_pool import blocks_of, filled, key_of, keys_of


def test_what_is_pinned_goes_only_if_it_must() -> None:
    """Its pin stays: it is taken back as ever, and holds what comes by that key."""
    pool = filled(1, 2, 3)
    pool.pin(keys_of(2))
    assert pool.drop(keys_of(1, 2, 9, 1)) == 1
    assert pool.drop(keys_of(1, 2, 9), even_pinned=True) == 1
    assert [pool.contains(key_of(n)) for n in (1, 2, 3)] == [False, False, True]
    pool.put(keys_of(2), blocks_of(2))
    assert pool.num_pinned == 1
    pool.unpin(keys_of(2))
    pool.check_integrity()
