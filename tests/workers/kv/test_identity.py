"""What a block's checksum covers: bytes, form, and whose it is."""

from itertools import pairwise

import numpy as np
import pytest

from tests.workers.kv.test_pool import BLOCK_BYTES, block_of, blocks_of, key_of, keys_of
from workers.errors import CorruptMessage
from workers.kv.identity import Owner, block_checksum, far_owner, tokens_number
from workers.kv.pool import BlockPool


def test_another_block_under_its_own_checksum_is_refused():
    pool = BlockPool(10 * BLOCK_BYTES)
    sums = [block_checksum(block_of(n), key_of(n)) for n in (2, 1)]
    with pytest.raises(CorruptMessage, match="another's"):
        pool.put(keys_of(1, 2), blocks_of(2, 1), sums)
    assert pool.num_blocks == 0


def test_the_checksum_covers_type_shape_order_and_key():
    block = np.arange(6, dtype=np.float32).reshape(2, 3)
    key = key_of(1)
    assert block_checksum(block, key) == block_checksum(np.asfortranarray(block), key)
    assert block_checksum(block, key) != block_checksum(block, key_of(2))
    others = [block.T, block.reshape(3, 2), block.view(np.int32), block + 1]
    assert len({block_checksum(b, key) for b in [block, *others]}) == 5
    assert block_checksum(np.zeros((0, 2)), key) != block_checksum(np.zeros((2, 0)), key)


OWNER = Owner("r", 1, tokens_number((3, 4, 5)))
OTHERS = {
    "another attempt": Owner("r~1", 1, OWNER.tokens),
    "another incarnation": Owner("r", 2, OWNER.tokens),
    "another prompt": Owner("r", 1, tokens_number((3, 4, 6))),
    "no tokens": Owner("r", 1),
    "a name that ends in a number": Owner("r1", 1, OWNER.tokens),
    "far": far_owner("r", 1, 1),
}


@pytest.mark.parametrize("other", OTHERS)
def test_owners_differ_in_each_of_their_facts(other: str) -> None:
    assert OWNER.places([0]) != OTHERS[other].places([0])


def test_places_of_an_owner_differ_and_so_do_their_forms() -> None:
    places = OWNER.places(range(300), 16, None)
    assert len(set(places)) == 300 and OWNER.places([7], 16, None) == places[7:8]
    forms = [(), (16, None), (16, "int8"), (32, None), (16, None, 1, 0), (16, None, 0, 1)]
    found = [OWNER.places([0], *form) for form in forms]
    assert all(a != b for a, b in pairwise(found)) and len({each[0] for each in found}) == 6


def test_the_number_of_tokens_depends_on_their_order_and_count() -> None:
    numbers = [tokens_number(ids) for ids in ((), (0,), (0, 0), (1, 2), (2, 1))]
    assert len(set(numbers)) == 5
