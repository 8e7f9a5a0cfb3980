"""A search by a chip: memory servers ship it their vectors, a bounded piece a message."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from workers.wire.kind import Kind, kind
from workers.wire.kinds.memory import Hits, no_ids
from workers.wire.roles import Count, Moment, Tensor, Text, Texts, column

NO_MORE = -1
Ids = Annotated[NDArray[np.int64], column(8)]


@kind("search_shipped")
@dataclass(frozen=True, slots=True)
class SearchShipped(Kind[Hits]):
    """Router to chip: the best `top_k` passages of all `servers` for each of q queries, [q, dim],
    scanned by the chip.

    first, stop   as in `Search`
    """

    store: Text
    top_k: Count
    queries: Tensor
    servers: Texts
    first: Ids = field(default_factory=no_ids)
    stop: Ids = field(default_factory=no_ids)


@kind("vectors")
@dataclass(frozen=True, slots=True)
class Vectors(Kind[Any]):
    """Passages [n], in the order of their ids, and their vectors [n, dim] float32.

    next_id   ids from here on were not looked at; NO_MORE: the server holds none of them
    """

    passage_id: Ids
    vectors: Tensor
    next_id: Moment


@kind("vectors_read")
@dataclass(frozen=True, slots=True)
class VectorsRead(Kind[Vectors]):
    """Chip to memory server: the next vectors of its part, of ids from `first_id` on, of at most
    `num_bytes`, but one vector at least.

    first, stop   as in `Search`
    """

    store: Text
    first_id: Moment
    num_bytes: Count
    first: Ids = field(default_factory=no_ids)
    stop: Ids = field(default_factory=no_ids)


@kind("passages")
@dataclass(frozen=True, slots=True)
class PassagesAre(Kind[Any]):
    """Texts and files of passages that were asked for, in that order; both are empty of one that
    went meanwhile.
    """

    texts: Texts
    file_ids: Texts


@kind("passages_read")
@dataclass(frozen=True, slots=True)
class PassagesRead(Kind[PassagesAre]):
    """Chip to memory server: what was found, as it is."""

    store: Text
    passage_id: Ids
