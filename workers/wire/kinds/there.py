"""A question that stands for a heartbeat: asked only of somebody who is waited for."""

from dataclasses import dataclass
from typing import ClassVar

from workers.wire.kind import Kind, Reply, kind


@kind("is_there")
@dataclass(frozen=True, slots=True)
class IsThere(Kind[Reply]):
    """Is somebody there? Asked of an expert shard, a memory server or a router that has not
    answered for a while: one that is busy says so at once, one that is stopped or cut off says
    nothing.
    """

    takes_credit: ClassVar[bool] = False
