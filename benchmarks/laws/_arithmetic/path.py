"""The way of one request through a cluster in which nobody else is.

Reports stream, one after each step, and nobody waits for them to be acknowledged; nor does a chunk
of KV wait for the one before, but decode begins when all are acknowledged. No message is sent
twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.laws._arithmetic.machine import Link, Machine
from benchmarks.laws._arithmetic.model import FP32, Model

ENVELOPE = 64
# max_tokens, temperature, top_p, top_k and seed, 8 bytes each; two truth values.
SAMPLING = 5 * 8 + 2
# Operations of a router's cores (cluster/router/own_work.py, cluster/retrieval/embedder.py).
TOKENISE_A_BYTE, HASH_A_TOKEN, LOOK_AT_A_CHIP = 400, 10, 200
EMBED_A_BYTE = 3 * 40  # n-grams of 3, 4 and 5 begin at each
BLOCK_TOKENS, HASH_BYTES, CHECKSUM_BYTES, INDEX_BYTES = 16, 16, 8, 4
EMBEDDING = 1024


@dataclass(frozen=True)
class Asked:
    """One request and its answer, as far as they decide what is computed and sent.

    num_cached   tokens of the prompt that the chip had
    hits         by memory server: texts and file ids of what it finds, bytes of each
    """

    request_id: str
    question: str
    model: str
    prompt: Sequence[int]
    num_cached: int
    answer: Sequence[int]
    text: str
    reason: str
    passages: tuple[str, ...] = ()
    store: str = ""
    hits: tuple[tuple[int, ...], ...] = ()


@dataclass
class Times:
    """From when the user asks."""

    ttft_ns: float = 0.0
    e2e_ns: float = 0.0
    num_tokens: int = 0
    messages: Counter[str] = field(default_factory=Counter)

    @property
    def tpot_ns(self) -> float:
        return (self.e2e_ns - self.ttft_ns) / (self.num_tokens - 1)


@dataclass
class Cluster:
    """Machines and the link of all. `shards`: the experts of each; `is_apart`: on nodes of their
    own, else on the chip's. `num_chips` among which the router chooses.
    """

    model: Model
    link: Link
    host: Machine
    chip: Machine
    shards: tuple[tuple[int, ...], ...]
    is_apart: bool
    num_chips: int
    memory: tuple[tuple[Machine, str], ...] = ()
    passages: tuple[int, ...] = ()

    # -- steps -------------------------------------------------------------------------------------

    def step(
        self, at: float, routes: NDArray[np.int64], start: int, count: int, sent: Counter[str]
    ) -> float:
        """Some tokens of one sequence through all layers, and the next one chosen."""
        model = self.model
        for layer in range(model.num_hidden_layers):
            at += self.chip.run(
                flops=model.attention_flops(start, count),
                reads=model.layer_bytes + (start + count) * model.kv_token_bytes,
                writes=count * model.kv_token_bytes,
            )
            at = self._experts(at, routes[layer, start : start + count], sent)
        flops = 2 * model.hidden_size * model.vocab_size
        return at + self.chip.run(flops=flops, reads=model.head_bytes)

    def _experts(self, at: float, chosen: NDArray[np.int64], sent: Counter[str]) -> float:
        """Rows to the shards that hold their experts, and sums back."""
        model, asked = self.model, []
        for held in self.shards:
            here = np.isin(chosen, held)
            if here.any():
                rows, pairs = int(here.any(axis=1).sum()), int(here.sum())
                asked.append((rows, pairs, len(np.unique(chosen[here]))))
        sent.update(dispatch=len(asked), combine=len(asked))
        a_row = 8 + 4 + 8 * model.num_experts_per_tok + model.hidden_size * FP32
        dispatched = [ENVELOPE + 4 + rows * a_row for rows, _, _ in asked]
        combined = [ENVELOPE + rows * model.hidden_size * FP32 for rows, _, _ in asked]
        runs = [
            self.chip.run(flops=pairs * model.expert_flops, reads=active * model.expert_bytes)
            for _, pairs, active in asked
        ]
        if not self.is_apart:
            (out, run, back), *_ = zip(dispatched, runs, combined, strict=True)
            return at + self.chip.copy(out) + run + self.chip.copy(back)
        there = self.link.out([(at, size) for size in dispatched])
        done = [arrived + run for arrived, run in zip(there, runs, strict=True)]
        return max(self.link.into(list(zip(done, combined, strict=True))))

    # -- before and after --------------------------------------------------------------------------

    def prepared(self, at: float, asked: Asked, sent: Counter[str]) -> float:
        """At the router: passages, tokens, and which chips."""
        if asked.passages:
            at = self._retrieved(at, asked, sent)
        texts = [*asked.passages, asked.question]
        at += self.host.scalar(TOKENISE_A_BYTE * sum(len(text.encode()) for text in texts))
        operations = (len(asked.prompt) * HASH_A_TOKEN + LOOK_AT_A_CHIP) * self.num_chips
        return at + self.host.scalar(operations)

    def _retrieved(self, at: float, asked: Asked, sent: Counter[str]) -> float:
        at += self.host.scalar(EMBED_A_BYTE * len(asked.question.encode()))
        query = ENVELOPE + len(asked.store) + 4 + EMBEDDING * FP32
        there = self.link.out([(at, query)] * len(self.memory))
        back = []
        for (machine, tier), arrived, held, hits in zip(
            self.memory, there, self.passages, asked.hits, strict=True
        ):
            scan = machine.run(flops=2 * held * EMBEDDING, reads=held * EMBEDDING * FP32, tier=tier)
            back.append((arrived + scan, ENVELOPE + sum(16 + size for size in hits)))
        sent.update(search=len(back), hits=len(back))
        return max(self.link.into(back))

    def report_bytes(self, asked: Asked, reason: str) -> int:
        """Of one token: id, stage, position, token, cached, and why it ended."""
        return ENVELOPE + len(asked.request_id) + 1 + 3 * 4 + len(reason)

    def output_bytes(self, asked: Asked, is_last: bool) -> float:
        """Position, three counts and the token; its part of the text; at the end why, and the
        passages.
        """
        text = len(asked.text.encode()) / len(asked.answer)
        size = ENVELOPE + 4 * 5 + len(asked.request_id) + text
        return size + is_last * (len(asked.reason) + sum(map(len, asked.passages)))

    def submit_bytes(self, asked: Asked) -> int:
        names = len(asked.request_id) + len(asked.model) + len("user")
        retrieval = len(asked.store) + 8 if asked.store else 0
        return ENVELOPE + names + len(asked.question.encode()) + SAMPLING + 8 + retrieval
