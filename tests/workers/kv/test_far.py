"""How a sequence's far blocks are striped over memory servers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.kv.far_queries import Striped


@given(st.integers(1, 40), st.integers(0, 60), st.integers(1, 9))
def test_each_block_is_with_one_server_and_none_has_two_more_than_another(
    number: int, num_far: int, num_servers: int
) -> None:
    striped = Striped(number, num_far, num_servers)
    counts = [striped.count(server) for server in range(num_servers)]
    where = striped.servers_of(np.arange(num_far))
    assert counts == np.bincount(where, minlength=num_servers).tolist()
    assert max(counts) - min(counts) <= 1


def test_sequences_begin_at_different_servers() -> None:
    first = [int(Striped(number, 1, 3).servers_of(np.array([0]))[0]) for number in range(4)]
    assert first == [0, 1, 2, 0]
