"""Gateway and router: requests in, outputs back, and how the cluster is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from cluster.api.output import Output
from cluster.api.request import Request
from workers.wire.kind import Kind, Reply, kind
from workers.wire.roles import (
    Array,
    Count,
    Flag,
    arrays_by_name,
    fact,
    nested,
    nested_all,
    plain,
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
    """How is the cluster? Sums over the chips; in brief, what the router knows without them."""

    is_brief: Annotated[bool, fact(0)] = False
    takes_credit: ClassVar[bool] = False


@kind("held")
@dataclass(frozen=True, slots=True)
class Held(Kind[Facts]):
    """What does the router hold for requests?"""


@kind("drain")
@dataclass(frozen=True, slots=True)
class Drain(Kind[Reply]):
    """Finish what is inside, take nothing new."""
