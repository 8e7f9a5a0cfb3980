"""What requests ask: questions from a file, synthetic sessions, or a trace's lengths and
prefixes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from cluster.workload.lengths import draw_lengths
from cluster.workload.streams import stream, tokens
from cluster.workload.traces import MOONCAKE_BLOCK_TOKENS, TraceEntry
from configs.outside import MIB, Unreadable, load_json, shown, text_lines
from configs.schema.workload import SyntheticPrompts, TraceLengths

QUESTIONS_BYTES_MAX = 256 * MIB
# Of all prompts of a run together: they are drawn before it, as Python's tuples.
PROMPT_TOKENS_MAX = 100_000_000


class QuestionsError(ValueError):
    """A question file that cannot be read; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's content: either a question or token ids.

    max_tokens        how long the answer shall be exactly, or None where the sampling section says
    expected_answer   the right answer, where the file knows it
    session, turn     which conversation, and how many turns came before in it
    """

    question: str | None = None
    token_ids: tuple[int, ...] = ()
    max_tokens: int | None = None
    expected_answer: str | None = None
    session: str = ""
    turn: int = 0


def question_prompts(path: Path, count: int) -> tuple[Prompt, ...]:
    """`count` questions in file order, from the start again when they run out.

    Lines are {"question": text, "answer": text}; the answer may be left out. Raises QuestionsError.
    """
    try:
        # Only as many lines as are wanted are looked at.
        lines = enumerate(text_lines(path, QUESTIONS_BYTES_MAX), start=1)
        wanted = list(islice(((n, line.strip()) for n, line in lines if line.strip()), count))
    except OSError as error:
        raise QuestionsError(f"{path}: cannot be read: {error.strerror}") from error
    except Unreadable as error:
        raise QuestionsError(str(error)) from error
    if not wanted:
        raise QuestionsError(f"{path}: holds no question")
    known = [_question(f"{path}:{number}", line) for number, line in wanted]
    return tuple(known[i % len(known)] for i in range(count))


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


def synthetic_prompts(
    spec: SyntheticPrompts, count: int, seed: int, vocab_size: int
) -> tuple[Prompt, ...]:
    """`count` prompts of random tokens, in sessions of `spec.turns`.

    A turn's prompt is: shared prefix | turn 0 | answer 0 | turn 1 | ... | this turn. The answers in
    it are stand-ins of the drawn length, as in a recorded conversation, so a turn shares its
    session's earlier prompts whatever the model said. All sessions take their first turn before any
    takes its second, so that a session's turns lie far apart.
    """
    num_sessions = -(-count // spec.turns)
    inputs = draw_lengths(spec.input_length, count, stream(seed, "input lengths"))
    outputs = draw_lengths(spec.output_length, count, stream(seed, "output lengths"))
    shared = spec.shared_prefix
    # At most: each turn repeats those before it, and the prefix.
    turns = (float(inputs.sum()) + float(outputs.sum())) * spec.turns
    _check_total(turns + (shared.length * (shared.groups + count) if shared else 0))
    prefixes = _prefixes(spec, num_sessions, seed, vocab_size)
    history = list(prefixes)
    prompts = []
    for i in range(count):
        turn, session = divmod(i, num_sessions)
        asked = tokens(seed, "turn", i, count=int(inputs[i]), vocab_size=vocab_size)
        prompt = history[session] + asked
        prompts.append(
            Prompt(
                token_ids=prompt,
                max_tokens=int(outputs[i]),
                session=f"session-{session}",
                turn=turn,
            )
        )
        answered = tokens(seed, "answer", i, count=int(outputs[i]), vocab_size=vocab_size)
        history[session] = prompt + answered
    return tuple(prompts)


def _check_total(num_tokens: float) -> None:
    if num_tokens > PROMPT_TOKENS_MAX:
        raise ValueError(
            f"workload.prompts: all prompts together have up to {num_tokens:,.0f} tokens: draw at "
            f"most {PROMPT_TOKENS_MAX:,}, by fewer requests or shorter prompts"
        )


def _prefixes(
    spec: SyntheticPrompts, num_sessions: int, seed: int, vocab_size: int
) -> tuple[tuple[int, ...], ...]:
    """What each session begins with: its group's prefix, or nothing."""
    shared = spec.shared_prefix
    if shared is None:
        return ((),) * num_sessions
    groups = [
        tokens(seed, "prefix", g, count=shared.length, vocab_size=vocab_size)
        for g in range(shared.groups)
    ]
    chosen = stream(seed, "prefix groups").integers(0, shared.groups, size=num_sessions)
    return tuple(groups[int(g)] for g in chosen)


def trace_prompts(
    spec: TraceLengths, entries: tuple[TraceEntry, ...], seed: int, vocab_size: int
) -> tuple[Prompt, ...]:
    """A prompt for each entry: its length, and equal blocks where its hash ids are equal."""
    _check_total(sum(_at_most(entry.input_length, spec.max_input) for entry in entries))
    return tuple(
        Prompt(
            token_ids=_trace_tokens(
                entry, i, _at_most(entry.input_length, spec.max_input), seed, vocab_size
            ),
            max_tokens=_at_most(entry.output_length, spec.max_output),
            session=entry.session,
        )
        for i, entry in enumerate(entries)
    )


def _trace_tokens(
    entry: TraceEntry, index: int, length: int, seed: int, vocab_size: int
) -> tuple[int, ...]:
    if not entry.hash_ids:
        return tokens(seed, "trace prompt", index, count=length, vocab_size=vocab_size)
    blocks = entry.hash_ids[: -(-length // MOONCAKE_BLOCK_TOKENS)]
    drawn = np.concatenate(
        [
            stream(seed, "trace block", block).integers(0, vocab_size, size=MOONCAKE_BLOCK_TOKENS)
            for block in blocks
        ]
    )
    return tuple(int(token) for token in drawn[:length])


def _at_most(length: int, most: int | None) -> int:
    return length if most is None else min(length, most)
