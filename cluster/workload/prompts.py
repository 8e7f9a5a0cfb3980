"""What requests ask: questions from a file, or synthetic sessions. Each prompt is made when it is
asked for, the same whenever that is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.workload.lazy import Lazy
from cluster.workload.lengths import draw_lengths
from cluster.workload.streams import stream, tokens
from cluster.workload.traces import History
from configs.outside import MIB, Unreadable, load_json, shown, text_lines
from configs.schema.trace import TOKENS_MAX
from configs.schema.workload import SyntheticPrompts

QUESTIONS_BYTES_MAX = 256 * MIB


class QuestionsError(ValueError):
    """A question file that cannot be read; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's content: a question, messages or token ids.

    max_tokens        how long the answer shall be exactly, or None where the sampling section says
    expected_answer   the right answer, where the file knows it
    session, turn     which conversation, and how many turns came before in it
    history           of a trace's turn that follows another; see cluster.workload.sessions
    """

    question: str | None = None
    messages: tuple[Mapping[str, str], ...] = ()
    token_ids: tuple[int, ...] = ()
    max_tokens: int | None = None
    expected_answer: str | None = None
    session: str = ""
    turn: int = 0
    history: History = "none"


def question_prompts(path: Path, count: int) -> tuple[Prompt, ...]:
    """`count` questions in file order, from the start again when they run out.

    Lines are {"question": text, "answer": text}; the answer may be left out. Raises QuestionsError.
    """
    try:
        # Only as many lines as are wanted are looked at. No name holds the lines that are left: an
        # error's frame would keep the file open with them.
        wanted = list(islice(_numbered(path), count))
    except OSError as error:
        raise QuestionsError(f"{path}: cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise QuestionsError(str(error)) from error
    if not wanted:
        raise QuestionsError(f"{path}: holds no question")
    known = [_question(f"{path}:{number}", line) for number, line in wanted]
    return tuple(known[i % len(known)] for i in range(count))


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text_lines(path, QUESTIONS_BYTES_MAX), start=1):
        if said := line.strip():
            yield number, said


def _question(where: str, line: str) -> Prompt:
    try:
        row = load_json(line)
    except Unreadable as error:
        raise QuestionsError(f"{where}: {error}") from error
    if not isinstance(row, Mapping):
        raise QuestionsError(f'{where}: is {shown(line)}: it must be {{"question": text, ...}}')
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not question:
        raise QuestionsError(f"{where}: question is {shown(question)}: it must be a non-empty text")
    if answer is not None and not isinstance(answer, str):
        raise QuestionsError(f"{where}: answer is {shown(answer)}: it must be a text, or left out")
    return Prompt(question=question, expected_answer=answer)


class SyntheticSessions(Lazy[Prompt]):
    """`count` prompts of random tokens, in sessions of `spec.turns`.

    A turn's prompt is: shared prefix | turn 0 | answer 0 | turn 1 | ... | this turn. The answers in
    it are stand-ins of the drawn length, as in a recorded conversation, so a turn shares its
    session's earlier prompts whatever the model said. All sessions take their first turn before any
    takes its second, so that a session's turns lie far apart.
    """

    def __init__(self, spec: SyntheticPrompts, count: int, seed: int, vocab_size: int) -> None:
        self._spec, self._seed, self._vocab_size = spec, seed, vocab_size
        self._num_sessions = -(-count // spec.turns)
        self._inputs = draw_lengths(spec.input_length, count, stream(seed, "input lengths"))
        self._outputs = draw_lengths(spec.output_length, count, stream(seed, "output lengths"))
        shared = spec.shared_prefix
        self._groups = None
        if shared is not None:
            rng = stream(seed, "prefix groups")
            self._groups = rng.integers(0, shared.groups, size=self._num_sessions)
        sessions = np.arange(count) % self._num_sessions
        # Each turn repeats those before it, and the prefix.
        longest = np.bincount(sessions, self._inputs + self._outputs.astype(float)).max()
        _check_longest(longest + (shared.length if shared else 0))

    def __len__(self) -> int:
        return len(self._inputs)

    def _made(self, index: int) -> Prompt:
        turn, session = divmod(index, self._num_sessions)
        ids = self._prefix(session)
        for before in range(turn):
            i = before * self._num_sessions + session
            ids += self._drawn("turn", i, self._inputs) + self._drawn("answer", i, self._outputs)
        return Prompt(
            token_ids=tuple(ids + self._drawn("turn", index, self._inputs)),
            max_tokens=int(self._outputs[index]),
            session=f"session-{session}",
            turn=turn,
        )

    def _drawn(self, purpose: str, i: int, lengths: NDArray[np.int64]) -> list[int]:
        count = int(lengths[i])
        return tokens(self._seed, purpose, i, count=count, vocab_size=self._vocab_size)

    def _prefix(self, session: int) -> list[int]:
        """What the session begins with: its group's prefix, or nothing."""
        shared = self._spec.shared_prefix
        if shared is None or self._groups is None:
            return []
        group, count = int(self._groups[session]), shared.length
        return tokens(self._seed, "prefix", group, count=count, vocab_size=self._vocab_size)


def _check_longest(num_tokens: float) -> None:
    if num_tokens > TOKENS_MAX:
        raise ValueError(
            f"workload.prompts: the longest session has up to {num_tokens:,.0f} tokens: at most "
            f"{TOKENS_MAX:,}, by fewer turns or shorter ones"
        )
