"""What a trace's requests ask: its words or token ids where it has some, else random tokens of its
lengths, the same where its blocks are the same.
"""

from cluster.workload.lazy import Lazy
from cluster.workload.prompts import Prompt
from cluster.workload.streams import stream, tokens
from cluster.workload.traces import Said, Trace, TraceEntry
from cluster.workload.words import Words
from configs.schema.trace import TraceLengths


class TracePrompts(Lazy[Prompt]):
    """A prompt for each of a trace's requests, made when it is asked for.

    words   of the model: how long a recorded answer is
    """

    def __init__(
        self,
        spec: TraceLengths,
        trace: Trace,
        seed: int,
        vocab_size: int,
        block_tokens: int,
        words: Words,
    ) -> None:
        self._spec, self._trace, self._seed = spec, trace, seed
        self._vocab_size, self._block_tokens, self._words = vocab_size, block_tokens, words

    def __len__(self) -> int:
        return len(self._trace)

    def _made(self, index: int) -> Prompt:
        entry, said = self._trace[index], self._trace.said(index)
        answer = entry.output_length
        if said is None:
            assert entry.input_length is not None, entry
            length = _at_most(entry.input_length, self._spec.max_input)
            ids = self._drawn(entry, index, length)
        else:
            most = self._spec.max_input
            ids = [token % self._vocab_size for token in said.token_ids[:most]]
            answer = self._reply_tokens(said) if answer is None else answer
        return Prompt(
            messages=() if said is None else said.messages,
            token_ids=tuple(ids),
            max_tokens=None if answer is None else _at_most(answer, self._spec.max_output),
            session=entry.session,
            turn=entry.turn,
            history=entry.history,
        )

    def _drawn(self, entry: TraceEntry, index: int, length: int) -> list[int]:
        if not entry.hash_ids:
            return tokens(
                self._seed, "trace prompt", index, count=length, vocab_size=self._vocab_size
            )
        ids: list[int] = []
        for block in entry.hash_ids[: -(-length // self._block_tokens)]:
            rng = stream(self._seed, "trace block", block)
            ids += rng.integers(0, self._vocab_size, size=self._block_tokens).tolist()
        return ids[:length]

    def _reply_tokens(self, said: Said) -> int | None:
        return None if said.reply is None else max(1, self._words.num_tokens(said.reply))


def _at_most(length: int, most: int | None) -> int:
    return length if most is None else min(length, most)
