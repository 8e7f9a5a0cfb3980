"""A session's next turn: when it leaves, and how it grows out of what was said before. Pure."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.api.request import Request
from cluster.workload.traces import UNKNOWN, History


@dataclass(frozen=True, slots=True)
class Sessions:
    """next_turn   request -> the one that follows its answer, or UNKNOWN
    delays_ns   request -> how long after that answer it leaves, or UNKNOWN: then at its time
    times_ns    request -> its time from the start of the run
    """

    next_turn: Sequence[int]
    delays_ns: Sequence[int]
    times_ns: Sequence[int]

    def firsts(self) -> Iterator[int]:
        """Requests that wait for no answer, in order."""
        following = bytearray(len(self.next_turn))
        for turn in self.next_turn:
            if turn != UNKNOWN:
                following[turn] = True
        return (index for index, follows in enumerate(following) if not follows)

    def follower(self, index: int) -> int | None:
        turn = self.next_turn[index]
        return None if turn == UNKNOWN else turn

    def leaves_ns(self, index: int, begun_ns: int, answered_ns: int) -> int:
        """When a turn leaves whose predecessor's answer was read at `answered_ns`."""
        if self.delays_ns[index] != UNKNOWN:
            return answered_ns + self.delays_ns[index]
        return max(answered_ns, begun_ns + self.times_ns[index])


@dataclass(slots=True)
class Past:
    """What a session has said: as tokens, of 4 B each, or as messages."""

    token_ids: "array[int]"
    messages: tuple[Mapping[str, str], ...] = ()

    @classmethod
    def of(cls, request: Request, answer_ids: "array[int]", answer: str) -> "Past":
        """After `request` was answered, as far as it was."""
        if request.messages:
            said = {"role": "assistant", "content": answer}
            return cls(array("i"), (*request.messages, said))
        return cls(array("i", request.prompt_ids) + answer_ids)


def continued(request: Request, history: History, past: Past) -> Request:
    """The next turn's request.

    whole   its prompt is as long as recorded, and begins with the past; what the past does not
            cover is its own
    added   the past, then all of its own
    """
    if history not in ("whole", "added"):
        return request
    if request.messages:
        return replace(request, messages=(*past.messages, *request.messages))
    own = request.prompt_ids
    if history == "added":
        return replace(request, prompt_ids=(*past.token_ids, *own))
    return replace(request, prompt_ids=(*past.token_ids[: len(own)], *own[len(past.token_ids) :]))
