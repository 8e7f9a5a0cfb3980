"""Who is around a machine: sequences on their chips, readers of their streams."""

from dataclasses import dataclass, field

from cluster.api.output import Output
from cluster.router.machine.sampled import SampledToken


@dataclass
class Computed:
    """One sequence on its chips: who tells which positions, and what was told already."""

    request_id: str
    first_chip: str
    other_chip: str
    num_sent: int
    num_tokens: int
    told: list[tuple[str, SampledToken]] = field(default_factory=list)

    @property
    def is_handed_over(self) -> bool:
        """Both have told some of it: it needs its first chip no more."""
        return {by for by, _ in self.told} == {self.first_chip, self.other_chip}


@dataclass
class Reader:
    """One stream as a gateway hears it; positions that it knows pass it by."""

    name: str
    is_promised: bool = False
    tokens: list[int] = field(default_factory=list)
    last: Output | None = None
    is_gone: bool = False

    def hear(self, output: Output) -> None:
        if self.last is not None or self.is_gone or output.position < len(self.tokens):
            return
        assert output.position == len(self.tokens), "law 2: in order, none left out"
        self.tokens += output.token_ids
        if output.finish_reason:
            self.last = output
