"""What a recorder keeps of the tokens of a run."""

import numpy as np

from cluster.runs.routing import RoutingRecorder
from tests.configs.test_plan import TINY
from workers.experts.tokens import Tokens


def told(layer: int, position: int, expert: int) -> Tokens:
    """One token of request 7."""
    experts = np.array([[expert, expert + 1]], dtype=np.int32)
    number, place = np.array([7], dtype=np.uint64), np.array([position], dtype=np.int64)
    weights = np.ones((1, 2), dtype=np.float32)
    return Tokens(layer, "r", number, place, np.empty((1, 0)), experts, weights)


def test_a_token_is_kept_once_whenever_it_came() -> None:
    """Also of a model with one sparse layer. Token 1 is computed twice, as after a preemption."""
    tables = list[list[list[list[int]]]]()
    for positions in ((0, 1, 1, 2), (2, 1, 0, 1)):
        recorder = RoutingRecorder(TINY.with_layers(range(1)))
        for position in positions:
            recorder.take(told(0, position, position))
        tables.append(recorder.table().tolist())
    assert tables[0] == tables[1]
    assert sorted(tables[0]) == [[[0, 1]], [[1, 2]], [[2, 3]]]
