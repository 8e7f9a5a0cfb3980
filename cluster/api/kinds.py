"""Gateway and router: requests in, outputs back, vector stores, and how the cluster is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from cluster.api.output import Output
from cluster.api.request import Request
from workers.wire.kind import Kind, Reply, kind
from workers.wire.roles import (
    Array,
    Count,
    Flag,
    Moment,
    Text,
    arrays_by_name,
    fact,
    nested,
    nested_all,
    plain,
    rows_of_texts,
)


@kind("accepted")
@dataclass(frozen=True, slots=True)
class Accepted(Kind[Any]):
    """The request's prompt is known and fits; outputs follow."""

    num_prompt_tokens: Count


@kind("submit")
@dataclass(frozen=True, slots=True)
class Submit(Kind[Accepted]):
    """One generation is wanted.

    deadline_ns   point in emulated time by which it ends, for both ends of its stream. The request
                  is charged for its deadline already: this is the same one
    """

    request: Annotated[Request, nested(Request)]
    deadline_ns: Annotated[int, fact(0)]
    takes_credit: ClassVar[bool] = False


@kind("outputs")
@dataclass(frozen=True, slots=True)
class Outputs(Kind[Reply]):
    """New tokens of some streams; `logits`, by index of the output, where they were asked for."""

    outputs: Annotated[tuple[Output, ...], nested_all(Output)]
    logits: Annotated[Mapping[str, Array], arrays_by_name("tensors")]


@kind("cancelled")
@dataclass(frozen=True, slots=True)
class WasCancelled(Kind[Any]):
    """Whether the stream was known."""

    known: Flag


@kind("cancel")
@dataclass(frozen=True, slots=True)
class Cancel(Kind[WasCancelled]):
    """Nobody reads this stream any more."""


@kind("facts")
@dataclass(frozen=True, slots=True)
class Facts(Kind[Any]):
    """Names and numbers of the cluster, for reports and metrics."""

    facts: Annotated[Mapping[str, Any], plain()]


@kind("models")
@dataclass(frozen=True, slots=True)
class Models(Kind[Facts]):
    """Which models are served?"""


@kind("state")
@dataclass(frozen=True, slots=True)
class State(Kind[Facts]):
    """How is the cluster? Sums over the chips."""

    takes_credit: ClassVar[bool] = False


@kind("held")
@dataclass(frozen=True, slots=True)
class Held(Kind[Facts]):
    """What does the router hold for requests?"""


@kind("drain")
@dataclass(frozen=True, slots=True)
class Drain(Kind[Reply]):
    """Finish what is inside, take nothing new."""


@kind("store")
@dataclass(frozen=True, slots=True)
class StoreIs(Kind[Any]):
    """A vector store, and how much is in it."""

    store_id: Text
    name: Text
    num_files: Count
    num_passages: Moment
    usage_bytes: Moment


@kind("store_create")
@dataclass(frozen=True, slots=True)
class StoreCreate(Kind[StoreIs]):
    """A new, empty vector store."""

    name: Text
    takes_credit: ClassVar[bool] = False


@kind("store_delete")
@dataclass(frozen=True, slots=True)
class StoreDelete(Kind[Reply]):
    """Forget a vector store."""

    store_id: Text
    takes_credit: ClassVar[bool] = False


@kind("store_add")
@dataclass(frozen=True, slots=True)
class StoreAdd(Kind[StoreIs]):
    """Index documents: (file id, filename) each, and the text of each by its index, in UTF-8: as
    bytes, since escaping and reading megabytes of JSON holds an event loop.
    """

    store_id: Text
    documents: Annotated[tuple[tuple[str, str], ...], rows_of_texts()]
    texts: Annotated[Mapping[str, Array], arrays_by_name("tensors")]
    takes_credit: ClassVar[bool] = False

    @classmethod
    def of(cls, store_id: str, documents: Sequence[tuple[str, str, str]]) -> "StoreAdd":
        """(file id, filename, text) each."""
        texts = {
            str(index): np.frombuffer(text.encode(), np.uint8)
            for index, (_, _, text) in enumerate(documents)
        }
        return cls(store_id, tuple((file_id, name) for file_id, name, _ in documents), texts)

    def rows(self) -> list[tuple[str, str, str]]:
        """The reverse of `of`."""
        return [
            (file_id, name, self.texts[str(index)].tobytes().decode())
            for index, (file_id, name) in enumerate(self.documents)
        ]


@kind("store_list")
@dataclass(frozen=True, slots=True)
class StoreList(Kind[Facts]):
    """Which vector stores are there?"""


@kind("store_search")
@dataclass(frozen=True, slots=True)
class StoreSearch(Kind[Facts]):
    """The best passages for a query, for a user."""

    store_id: Text
    query: Text
    top_k: Count
    takes_credit: ClassVar[bool] = False
