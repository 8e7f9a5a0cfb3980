"""What one peer called and what it was answered: nothing runs twice, however late it comes."""

from collections.abc import Mapping
from typing import Any, Final

from workers.wire.kind import Reply
from workers.wire.message import Message

# Stands for an answer that nobody will ask for again, before or after it was given.
NOT_WANTED: Final[Message[Any]] = Message(Reply(), "", "")


# Of messages that are no calls: one that so many later ones have overtaken counts as known. Far
# more than are on their way at once; a duplicate comes sooner.
OVERTAKEN_MAX = 4_096


def long_past(message_id: int, pending: Mapping[int, Any]) -> int:
    """What a message that is no call says is concluded, by the calls to the same node that are not:
    what is long past, so that who gets nothing else from here need not remember all of it.
    """
    return max(0, min(next(iter(pending), message_id), message_id - OVERTAKEN_MAX))


class Remembered:
    """Calls by message id, which rise within an incarnation.

    Each call says below which id all calls of its sender to this node are concluded. Nobody will
    ask for those answers again, so they are let go; and whatever still comes with such an id is
    late, and known. A large answer, and one that comes too late for its caller, is let go as soon
    as the caller says so (`taken`). So what is kept is what the caller may still ask for.
    """

    __slots__ = ("_answers", "_concluded")

    def __init__(self) -> None:
        self._answers: dict[int, Message[Any] | None] = {}
        self._concluded = 0  # ids below are

    def begin(self, message_id: int, concluded: int) -> bool:
        """A call came. Whether it is the first of its id, and so is to be run."""
        answers = self._answers
        if concluded > self._concluded:
            self._concluded = concluded
            for known in list(answers):
                if known >= concluded:
                    break  # ids come nearly in order: what is left of others goes another time
                del answers[known]
        if message_id < self._concluded or message_id in answers:
            return False
        answers[message_id] = None
        return True

    def knows(self, message_id: int) -> bool:
        """Whether the call has come."""
        return message_id < self._concluded or message_id in self._answers

    def answer_to(self, message_id: int) -> Message[Any] | None:
        """The answer to a call that came again; None where there is none, or nobody needs it."""
        answer = self._answers.get(message_id)
        return None if answer is NOT_WANTED else answer

    def answered(self, message_id: int, answer: Message[Any]) -> None:
        """It is kept, unless nobody will ask for it."""
        if self._answers.get(message_id, NOT_WANTED) is not NOT_WANTED:
            self._answers[message_id] = answer

    def taken(self, message_id: int) -> None:
        """Its caller has the answer, or wants none any more. Its id stays known."""
        if message_id in self._answers:
            self._answers[message_id] = NOT_WANTED

    def is_wanted(self, message_id: int) -> bool:
        """Whether its caller still waits for the answer, as far as is known here."""
        return self._answers.get(message_id, NOT_WANTED) is not NOT_WANTED

    def carried_bytes(self) -> int:
        """What the arrays of the answers take of this machine's memory."""
        return sum(answer.carried_bytes() for answer in self._answers.values() if answer)

    def __len__(self) -> int:
        return len(self._answers)
