"""The cluster's tokens beside one process: `python -m benchmarks.exact [--json FILE]`.

Every shipped question is answered by the reference (one process, one request at a time) and by
whole clusters with 1 to 8 expert shards in both worlds. Not one token may differ; and the smallest
top-1 margin of the reference shows that equality is no luck: rounding errors are far below it.
"""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.float64 import Float64Model
from benchmarks.rows import Row, arguments, report, wide_console
from benchmarks.runs import (
    EMULATION_OFF,
    NUM_QUESTIONS,
    RunFailed,
    counted,
    demo,
    questions,
    run_in_local,
    run_in_virtual,
)
from cluster.api.request import Retrieval
from cluster.retrieval.collection import open_collection
from cluster.retrieval.embedder import make_embedder
from cluster.router.prompts import prompt_ids, retrieval_query
from cluster.text.tokenizer import Tokenizer
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.presets import corpus_folder
from workers.memory.shard import RetrievalShard
from workers.model.reference import Reference

WORLDS = ("virtual", "local")
SHARD_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8)
SHOWN_MAX = 3  # of the answers that differ


@dataclass(frozen=True, slots=True)
class Expected:
    """One question in one process.

    margin   smallest top-1 margin of its tokens
    error    largest difference of a logit of its steps from the same step in float64
    """

    token_ids: tuple[int, ...]
    margin: float
    error: float


class OneProcess:
    """Retrieval, prompt and generation with nothing between their parts."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._tokenizer = Tokenizer.load(blueprint.folder)
        self._reference = Reference(blueprint.folder)
        self._exact = Float64Model(blueprint.folder)
        self._shards: dict[str, RetrievalShard] = {}
        self._embedders = {}
        for name, placed in blueprint.scenario.placement.collections.items():
            embedder = make_embedder(placed.embedder)
            collection = open_collection(corpus_folder(placed.path), embedder)
            shard = RetrievalShard(collection.dim)
            ids = range(len(collection.passages))
            shard.add(ids, collection.vectors, collection.texts, collection.file_ids)
            self._shards[name], self._embedders[name] = shard, embedder

    def _passages(self, query: str, retrieval: Retrieval) -> list[str]:
        vectors = self._embedders[retrieval.store].embed([query])
        hits = self._shards[retrieval.store].search(vectors, retrieval.top_k)[0]
        return [hit.text for hit in hits]

    def answer(self, timed: TimedRequest) -> Expected:
        request, passages = timed.request, list[str]()
        if request.retrieval is not None:
            passages = self._passages(retrieval_query(request), request.retrieval)
        prompt = prompt_ids(request, passages, self._tokenizer, self._reference.config.vocab)
        result = self._reference.generate(prompt, request.sampling, want_logits=True)
        exact_TV = self._exact.logits([*prompt, *result.token_ids[:-1]])[len(prompt) - 1 :]
        error = float(np.abs(result.logits - exact_TV).max())
        return Expected(result.token_ids, min(result.margins), error)


def expect(blueprint: Blueprint, workload: Workload) -> list[Expected]:
    """What each request's answer must be."""
    single = OneProcess(blueprint)
    expected = []
    with counted("one process", len(workload.requests)) as advance:
        for timed in workload.requests:
            expected.append(single.answer(timed))
            advance(Answer(timed.request.request_id))
    return expected


def margin_row(expected: Sequence[Expected]) -> Row:
    """How far the reference's choices are from a tie, beside what rounding can do."""
    margin = min(e.margin for e in expected)
    error = max(e.error for e in expected)
    num_tokens = sum(len(e.token_ids) for e in expected)
    return Row(
        "smallest top-1 margin of the reference",
        margin,
        "",
        "> 10 x the error of fp32",
        margin > 10 * error,
        f"measured: {num_tokens} tokens of {len(expected)} questions; fp32 differs from float64 by "
        f"at most {error:.2g} in a logit: {margin / error:,.0f} times less",
    )


def difference_row(
    expected: Sequence[Expected], answers: Sequence[Answer], where: str
) -> tuple[Row, list[str]]:
    """How many answers are not the reference's, and the first few of them in words."""
    differing = [
        f"{where}, {answer.request_id}: {tuple(answer.token_ids)} for {wanted.token_ids}"
        + (f" ({answer.error})" if answer.error else "")
        for wanted, answer in zip(expected, answers, strict=True)
        if tuple(answer.token_ids) != wanted.token_ids
    ]
    row = Row(
        f"answers that differ from one process, {where}",
        len(differing),
        "",
        f"0 of {len(expected)}",
        not differing,
        "measured: token by token, greedy, top-3 passages retrieved by the cluster itself",
    )
    return row, differing


def run_cluster(world: str, num_shards: int, sample: int) -> list[Answer]:
    """The sample's answers by a demo cluster with so many expert shards."""
    overrides: dict[str, object] = {"cluster.nodes.experts.count": num_shards}
    if world == "local":
        overrides |= EMULATION_OFF
    blueprint = Blueprint.draw(demo(NUM_QUESTIONS, overrides))
    workload, what = questions(blueprint, sample), f"{world}, {num_shards} shards"
    if world == "local":
        return run_in_local(blueprint, workload, what)
    return run_in_virtual(blueprint, workload, what).answers


def fingerprint(folder: Path) -> str:
    """Of all that the checkpoint's files hold."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def measure(sample: int, worlds: Sequence[str], shard_counts: Sequence[int]) -> list[Row]:
    """A row for the margin, then one for each world and number of shards.

    Raises RunFailed if the checkpoint is replaced meanwhile: its answers would be compared with
    those of another model.
    """
    console = wide_console()
    blueprint = Blueprint.draw(demo(NUM_QUESTIONS))
    model = fingerprint(blueprint.folder)
    expected = expect(blueprint, questions(blueprint, sample))
    rows = [margin_row(expected)]
    for world in worlds:
        for count in shard_counts:
            where = f"{world}, {count} expert shard{'s' if count > 1 else ''}"
            answers = run_cluster(world, count, sample)
            if fingerprint(blueprint.folder) != model:
                raise RunFailed(f"{blueprint.folder} changed while it was measured: run again")
            row, differing = difference_row(expected, answers, where)
            console.print(f"{where}: {len(differing)} of {len(expected)} differ", highlight=False)
            for line in differing[:SHOWN_MAX]:
                console.print(line, markup=False, highlight=False)
            rows.append(row)
    return rows


def chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    """The comma-separated words of an option. Raises ValueError on one that is not known."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise ValueError(f"--{what} names {word!r}: choose from {', '.join(known)}")
    return words


def main() -> int:
    parser = arguments("Compare the cluster's tokens with those of one process.")
    counts = [str(count) for count in SHARD_COUNTS]
    parser.add_argument("--sample", type=int, default=NUM_QUESTIONS, help="so many questions")
    parser.add_argument("--shards", default=",".join(counts), help="numbers of expert shards")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="worlds to run in")
    options = parser.parse_args()
    try:
        worlds = chosen(options.worlds, WORLDS, "worlds")
        shard_counts = [int(word) for word in chosen(options.shards, counts, "shards")]
    except ValueError as error:
        parser.error(str(error))
    if not 1 <= options.sample <= NUM_QUESTIONS:
        parser.error(f"--sample is {options.sample}: it must be 1 to {NUM_QUESTIONS}")
    rows = measure(options.sample, worlds, shard_counts)
    return report(rows, options.json, "Cluster against one process")


if __name__ == "__main__":
    sys.exit(main())
