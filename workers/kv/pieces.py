"""Blocks cut into pieces of fewer tokens, and blocks of which some pieces are new: pure numpy.

Where a block's tokens lie, its axes say; one that travels as bytes does not:

    bytes              [block, planes x tokens]          a plane holds something of all its tokens
    keys and values    [block, layer, 2, token, head, number]
    digests            [block, layer, span, unit, token]      spans in the place of tokens
    latents            [block, layer, token, number]
"""

from collections.abc import Iterable, Sequence

import numpy as np

from workers.wire.roles import Array

# Where blocks have their tokens, by the number of their axes.
_TOKEN_AXES = {6: 3, 5: 2, 4: 2}


def cut(blocks: Array, num: int, planes: int) -> Array:
    """Each block as `num` pieces of equal size, in order: [block x piece, ...].

    planes   of a block that is bytes
    """
    rows, axis = _rows(blocks, planes)
    shape = (*rows.shape[:axis], num, rows.shape[axis] // num, *rows.shape[axis + 1 :])
    found = np.moveaxis(rows.reshape(shape), axis, 1)
    found = found.reshape(len(blocks) * num, *found.shape[2:])
    return np.ascontiguousarray(found.reshape(len(found), -1) if blocks.ndim == 2 else found)


def of_layers(pieces: Array, layers: Sequence[int], num_layers: int) -> Array:
    """Some layers of each: [piece, layer, ...], or as bytes where all of it is bytes."""
    by_layer = pieces.reshape(len(pieces), num_layers, -1) if pieces.ndim == 2 else pieces
    some = np.ascontiguousarray(by_layer[:, list(layers)])
    return some.reshape(len(pieces), -1) if pieces.ndim == 2 else some


def with_layers(pieces: Array, layers: Sequence[int], num_layers: int, some: Array) -> Array:
    """Copies in which these layers are new ones. Raises ValueError where the shape does not fit."""
    found = pieces.reshape(len(pieces), num_layers, -1).copy()
    found[:, list(layers)] = some.reshape(len(pieces), len(layers), -1)
    return found.reshape(pieces.shape)


def spliced(blocks: Array, num: int, planes: int, places: Iterable[int], pieces: Array) -> Array:
    """Copies of blocks of `num` pieces each, in which the pieces at these places are new ones; a
    place counts pieces over all of the blocks. Raises ValueError where the shape does not fit.
    """
    parts = cut(blocks, num, planes)
    if pieces.shape[1:] != parts.shape[1:] or pieces.dtype != parts.dtype:
        raise ValueError(
            f"pieces of KV blocks are {pieces.dtype} {pieces.shape[1:]}; they must be "
            f"{parts.dtype} {parts.shape[1:]}"
        )
    parts[list(places)] = pieces
    return _joined(parts, blocks, planes)


def _rows(blocks: Array, planes: int) -> tuple[Array, int]:
    """With an axis along which tokens lie, and which that is."""
    if blocks.ndim == 2:
        return blocks.reshape(len(blocks), planes, -1), 2
    return blocks, _TOKEN_AXES[blocks.ndim]


def _joined(parts: Array, like: Array, planes: int) -> Array:
    """The reverse of `cut`, to blocks of such a shape."""
    num = len(parts) // len(like)
    rows, axis = _rows(parts, planes)
    found = np.moveaxis(rows.reshape(len(like), num, *rows.shape[1:]), 1, axis)
    return np.ascontiguousarray(found).reshape(like.shape)


def places_of(
    indexes: Sequence[int], num: int, here: int | None = None
) -> tuple[tuple[int, ...], list[int]]:
    """Blocks of `num` pieces in which these pieces lie, each once; and where in these blocks, of
    which so many pieces in a row are here; all where left out.
    """
    here = here or num
    blocks = tuple(dict.fromkeys(index // num for index in indexes))
    rows = {block: row for row, block in enumerate(blocks)}
    return blocks, [rows[index // num] * here + index % here for index in indexes]
