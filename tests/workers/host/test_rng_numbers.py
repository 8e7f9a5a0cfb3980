"""The very numbers: stored traces and resumed streams rest on them."""

import pytest

from workers.host.rng import Rng


@pytest.mark.parametrize(
    ("seed", "key", "number"),
    [(0, ("sample", 0, 0), 0.18769679820249696), (7, ("r", 3), 0.6745650202585163)],
)
def test_numbers_do_not_change_between_versions(
    seed: int, key: tuple[str | int, ...], number: float
) -> None:
    """BLAKE2b, 16 bytes, of "seed|key|..." as a whole number; its upper 53 bits over 2^53."""
    assert Rng(seed).uniform(*key) == number
