"""What one reader of one stream saw: all that the laws about answers are told."""

from dataclasses import dataclass, field

from cluster.api.output import Output


@dataclass(slots=True)
class Heard:
    """`asked` names the request; `right` is its whole answer, by the reference.

    positions    of each output that carried tokens: where it began, and how many tokens came before
    approximate  positions that were flagged
    code         of the error that ended it, or ""
    whole_since_ns   from when on nothing was wrong any more, until it ended
    could_go_on  all the while others could have served it, and no link was hindered
    is_unwritten   a router's journal may have met a full disk
    left         its reader went on purpose; is_orphan: the gateway died under it, or was dead
    must_end_well   asked when all was healed, or where what goes wrong is mild: no error will do
    """

    asked: str
    right: tuple[int, ...]
    asked_ns: int = 0
    deadline_ns: int = 0
    must_end_well: bool = False
    tokens: list[int] = field(default_factory=list)
    positions: list[tuple[int, int]] = field(default_factory=list)
    approximate: set[int] = field(default_factory=set)
    finish_reason: str = ""
    code: str = ""
    message: str = ""
    ended_ns: int | None = None
    whole_since_ns: int = 0
    could_go_on: bool = False
    is_unwritten: bool = False
    left: bool = False
    is_orphan: bool = False

    def take(self, output: Output) -> None:
        """One more output of its stream."""
        if output.token_ids:
            self.positions.append((output.position, len(self.tokens)))
        self.tokens += output.token_ids
        self.approximate.update(output.approximate)
        if output.finish_reason:
            self.finish_reason = output.finish_reason
        if output.error is not None:
            self.failed(str(output.error["code"]), str(output.error.get("message", "")))

    def failed(self, code: str, message: str) -> None:
        self.code, self.message = code, message

    @property
    def is_answered(self) -> bool:
        """Whether it got its whole answer, as far as it was told."""
        return bool(self.finish_reason) and not self.code
