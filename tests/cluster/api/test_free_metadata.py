"""What a link is charged where metadata is free: what is carried as tensors, or has a price."""

from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.api.test_kinds import BY_HAND
from workers.model.numerics import EXACT_NUMERICS
from workers.wire.kind import Kind
from workers.wire.kinds import collectives, experts, ranks, switched

FREE = replace(EXACT_NUMERICS, free_metadata=True)


@pytest.mark.parametrize(("content", "num_bytes"), BY_HAND, ids=lambda v: getattr(v, "kind", ""))
def test_only_tensors_cost_where_metadata_is_free(content: Kind[Any], num_bytes: int) -> None:
    """By hand: what is left when all that is no tensor is taken from the price of the whole."""
    tensors = sum(int(array.nbytes) for array in content.pack().tensors.values())
    if isinstance(content, experts.Combine | ranks.Share | switched.Partial):
        tensors //= 2  # sums of exact mode travel in float64, and cost fp32
    if isinstance(
        content, experts.Weights | collectives.Piece | switched.Reduced
    ):  # its price is in its body
        price = content.num_bytes
        tensors = price if isinstance(price, int) else sum(price)
    if content.kind == "shard_add":
        return  # what was there before the cluster costs nothing anyway
    assert content.wire_bytes(FREE) == tensors <= num_bytes
