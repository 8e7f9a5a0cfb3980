"""Bytes of a shape's weights as machines hold them in the numbers of a scenario (`Precision`).

As `configs.precision` has them of a `ModelConfig`: gates, gains and biases in fp32; fp8 projections
stay as they are stored where the numbers are fp32 or bf16.
"""

from collections.abc import Iterable

from configs.precision import Precision, WeightKind, weight_bytes
from configs.shapes.formats import FP32
from configs.shapes.shape import ModelShape
from configs.shapes.weight import Weight


def layer_bytes(shape: ModelShape, layer: int, precision: Precision) -> int:
    """What a chip reads for one layer: all but experts."""
    weights = [weight for weight in shape.weights(layer) if weight.role != "experts"]
    kept = [weight for weight in weights if _is_kept(weight)]
    matrices = [weight for weight in weights if not _is_kept(weight)]
    in_fp32 = sum(FP32.num_bytes(weight.rows, weight.columns) for weight in kept)
    return in_fp32 + _held(shape, layer, matrices, precision)


def expert_bytes(shape: ModelShape, layer: int, precision: Precision) -> int:
    """One expert of one layer; 0 where it has none."""
    found = [weight for weight in shape.weights(layer) if weight.role == "experts"]
    one = [Weight(each.name, each.rows, each.columns, "experts") for each in found]
    return _held(shape, layer, one, precision)


def head_bytes(shape: ModelShape, precision: Precision) -> int:
    """The vocabulary projection, whether or not it is the embedding."""
    return weight_bytes(shape.vocab * shape.hidden, precision.head)


def chip_bytes(shape: ModelShape, precision: Precision) -> int:
    """All that is no expert: layers, what stands outside of them, embedding and head."""
    layers = sum(layer_bytes(shape, layer, precision) for layer in range(shape.num_layers))
    shared = shape.tied and precision.head == precision.embedding
    table = 0 if shared else weight_bytes(shape.vocab * shape.hidden, precision.embedding)
    outside = sum(w.num for w in shape.outside() if w.role not in ("embedding", "head"))
    more = sum(w.num for w in shape.extra if w.role == "embedding")
    rest = FP32.num_bytes(outside, 1) + weight_bytes(more, precision.embedding)
    return layers + rest + table + head_bytes(shape, precision)


def shard_bytes(shape: ModelShape, num_experts: int, precision: Precision) -> int:
    """So many experts of every sparse layer."""
    each = (expert_bytes(shape, layer, precision) for layer in shape.sparse_layers)
    return num_experts * sum(each)


def total_bytes(shape: ModelShape, precision: Precision) -> int:
    """All weights: chip, and every expert of every layer."""
    moes = (shape.layers[layer].moe for layer in shape.sparse_layers)
    counts = [moe.num_experts for moe in moes if moe is not None]
    each = zip(shape.sparse_layers, counts, strict=True)
    experts = sum(count * expert_bytes(shape, layer, precision) for layer, count in each)
    return chip_bytes(shape, precision) + experts


def _is_kept(weight: Weight) -> bool:
    """In fp32 always: a wrong expert costs more than all their bytes."""
    return weight.added or weight.role == "router"


def _held(shape: ModelShape, layer: int, weights: Iterable[Weight], precision: Precision) -> int:
    """Matrices in a precision's numbers; each as it is stored where these are the wide ones, and
    together where they are not: then bits are rounded up to bytes once.
    """
    kind: WeightKind = precision.weights
    storage, found, numbers = shape.storage, 0, 0
    for weight in weights:
        is_stored = storage.choose is not None and kind in ("fp32", "bf16")
        if is_stored and storage.of(layer, weight) != storage.wide:
            found += storage.num_bytes(layer, weight)
        else:
            numbers += weight.num
    return found + weight_bytes(numbers, kind)
