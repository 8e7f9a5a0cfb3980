"""Where a token's row lies in the plain path's cache, with blocks of 3 tokens."""

import numpy as np

from workers.model.plain.paged_cache import PagedCache


def test_a_row_lies_in_its_plane_at_its_offset() -> None:
    """4 blocks of 2 planes: planes 3 and 5 are the second ones of blocks 1 and 2. Plane 3 begins at
    row 9, and its offset 1 is row 10: with blocks of 3 a sum is not what joining bits would give.
    """
    cache = PagedCache(4, (2,), 3, (2,))
    planes_T, offsets_T = np.array([3, 5, 5]), np.array([1, 0, 2])
    cache.write(planes_T, offsets_T, np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    blocks = cache.read_blocks((0, 1, 2, 3))
    assert blocks.shape == (4, 2, 3, 2)
    assert blocks[1, 1].tolist() == [[0, 0], [1, 2], [0, 0]]
    assert blocks[2, 1].tolist() == [[3, 4], [0, 0], [5, 6]]
    assert np.count_nonzero(blocks) == 6
    (window,) = cache.windows(np.array([[5, 3]]))
    assert window.tolist() == [*blocks[2, 1].tolist(), *blocks[1, 1].tolist()]
    assert cache.block_bytes == 4 * 2 * 3 * 2
