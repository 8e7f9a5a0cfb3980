"""What one peer called and what it was answered: nothing runs twice, however late it comes."""

from typing import Any

from workers.wire.message import Message


class Remembered:
    """Calls by message id, which rise within an incarnation.

    Each call says below which id all calls of its sender to this node are concluded. Nobody will
    ask for those answers again, so they are let go; and whatever still comes with such an id is
    late, and known. So what is kept is what is open, bounded by the sender's credits.
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

    def answer_to(self, message_id: int) -> Message[Any] | None:
        """The answer to a call that came again; None where there is none, or nobody needs it."""
        return self._answers.get(message_id)

    def answered(self, message_id: int, answer: Message[Any]) -> None:
        if message_id in self._answers:
            self._answers[message_id] = answer

    def __len__(self) -> int:
        return len(self._answers)
