"""How a shape's weights are stored, in words."""

from configs.shapes.shape import ModelShape


def storage_words(shape: ModelShape) -> str:
    """Each format and the roles that have it, the largest first: "mxfp4 experts; bf16 all else"."""
    bytes_of: dict[str, int] = {}
    roles_of: dict[str, dict[str, None]] = {}
    for layer, weight in shape.all_weights():
        name = str(shape.storage.of(layer, weight))
        bytes_of[name] = bytes_of.get(name, 0) + shape.storage.num_bytes(layer, weight)
        roles_of.setdefault(name, {})[weight.role] = None
    order = sorted(bytes_of, key=lambda name: -bytes_of[name])
    if len(order) == 1:
        return order[0]
    wide = str(shape.storage.wide)
    words = [f"{name} {', '.join(roles_of[name])}" for name in order if name != wide]
    return "; ".join([*words, f"{wide} all else"])
