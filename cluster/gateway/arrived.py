"""Outputs of one stream as they come, and as its reader is to see them."""

from collections.abc import Sequence
from dataclasses import replace

from cluster.api.output import Output


class Arrived:
    """Puts them in order, each position once.

    One may overtake another that was lost and is told again, and one may be told again because the
    router did not hear that it was here.
    """

    __slots__ = ("_early", "_has_ended", "_position")

    def __init__(self) -> None:
        self._position, self._has_ended = 0, False
        self._early: dict[int, Output] = {}

    def take(self, output: Output) -> Sequence[Output]:
        """Those whose turn it is now; nothing comes after an end. An error is one, at once: what is
        missing before it may never come, and a router that could not write down what it has told
        knows of fewer tokens when it restarts than were heard.
        """
        if self._has_ended:
            return ()
        if output.error is not None:
            self._has_ended = True
            return (replace(output, position=self._position),)
        if output.position < self._position:
            return ()
        self._early[output.position] = output
        following: list[Output] = []
        while not self._has_ended and self._position in self._early:
            following.append(self._early.pop(self._position))
            self._position += len(following[-1].token_ids)
            self._has_ended = bool(following[-1].finish_reason)
        return following
