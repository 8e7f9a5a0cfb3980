import pytest

from workers.memory.hit import Hit
from workers.memory.index.recall import recall


def hits(*ids: int) -> list[Hit]:
    return [Hit(i, 0.5, "") for i in ids]


def test_recall_by_hand() -> None:
    """Of 3 + 2 passages 2 + 1 were found; order and what is found beside them do not matter."""
    assert recall([hits(3, 9, 1), hits(5)], [hits(1, 2, 3), hits(4, 5)]) == 3 / 5
    assert recall([hits(1)], [hits(1)]) == 1 and recall([[]], [hits(1)]) == 0


def test_recall_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="1 answers to 2 queries"):
        recall([hits(1)], [hits(1), hits(2)])
    with pytest.raises(ValueError, match="found nothing"):
        recall([hits(1)], [[]])
