"""Owns some experts of every layer and computes none: it ships their weights to the chips."""

from collections.abc import Mapping

from workers.errors import InvalidRequest
from workers.hardware.work import Work
from workers.model.shipped_experts import ExpertSizes
from workers.node import Node
from workers.wire.kinds.experts import Weights, WeightsRead
from workers.wire.message import Message
from workers.wire.roles import Array

# Of float32 in one message. ASSUMED: 1 MiB, as of vectors.
PIECE_VALUES = 1 << 18


class WeightShard:
    """A handler: what queues here are the node's tiers and its link.

    weights   (layer, expert) -> as they travel
    tiers     expert -> the tier that it lies in
    """

    def __init__(
        self,
        node: Node,
        name: str,
        sizes: ExpertSizes,
        weights: Mapping[tuple[int, int], Array],
        tiers: Mapping[int, str],
    ) -> None:
        self._node, self._name, self._sizes = node, name, sizes
        self._weights, self._tiers = weights, tiers
        node.port(name).on(WeightsRead, self._read)

    async def _read(self, message: Message[WeightsRead]) -> Weights:
        content = message.content
        weights = self._weights.get((content.layer, content.expert))
        if weights is None:
            raise InvalidRequest(
                f"{self._name} has no expert {content.expert} of layer {content.layer}"
            )
        begin, end = content.begin, content.end
        size = self._sizes.num_values
        if not 0 <= begin < end <= size or end - begin > PIECE_VALUES:
            raise InvalidRequest(
                f"values {begin} to {end} are asked for: an expert has {size}, of which "
                f"{PIECE_VALUES} are shipped at once"
            )
        num_bytes, cause = self._sizes.bytes_between(begin, end), content.computed_for
        work = Work.of("weights_read", reads={self._tiers[content.expert]: num_bytes})
        await self._node.hardware.run_for(cause, work, int)
        return Weights(self._sizes.piece(weights, begin, end), num_bytes, cause)
