"""What was computed without its experts is nobody else's, from the earliest such token on."""

from tests.workers.chip.driver import chip_with
from workers.chip.sequence import Sequence


def test_the_earliest_position_counts_whatever_is_marked_later() -> None:
    """A prompt of 4 tokens in one step: marked at 2, then at 3, then at 1."""
    chip = chip_with()
    seq = Sequence("s", [1, 2, 3, 4], 9)
    chip.scheduler.add(seq)
    assert chip.launch() is not None
    for position, earliest in ((2, 2), (3, 2), (1, 1)):
        chip.scheduler.mark_approximate("s", position)
        assert seq.approximate_from == earliest
