"""Recall of retrieval on the shipped corpus: `python -m benchmarks.recall [--json FILE]`.

Each question that a card answers is embedded, sent to every shard, and the shards' hits are merged
as the router merges them; it counts if the card is among the top 3. The bar is 99 %, and any number
of shards must give the same passages in the same order.
"""

from collections.abc import Sequence

from benchmarks.rows import Row, arguments, report
from cluster.retrieval.collection import Collection, collection_from_texts
from cluster.retrieval.embedder import EMBEDDERS, Embedder, make_embedder
from cluster.retrieval.spread import merge, partition
from configs.perfuse_tiny import load_corpus, load_questions
from workers.memory.hit import Hit
from workers.memory.shard import RetrievalShard

TOP_K = 3
BAR = 0.99
SHARD_COUNTS = (1, 2, 3, 4)


def make_shards(collection: Collection, num_shards: int) -> list[RetrievalShard]:
    """The collection as `num_shards` memory servers would hold it."""
    shards = []
    for ids in partition(range(len(collection.passages)), num_shards):
        shard = RetrievalShard(collection.dim)
        shard.add(
            ids,
            collection.vectors[ids],
            [collection.texts[i] for i in ids],
            [collection.file_ids[i] for i in ids],
        )
        shards.append(shard)
    return shards


def search(
    shards: Sequence[RetrievalShard], embedder: Embedder, questions: Sequence[str]
) -> list[list[Hit]]:
    """The merged top 3 of each question."""
    by_shard = [shard.search(embedder.embed(questions), TOP_K) for shard in shards]
    return [merge(hits, TOP_K) for hits in zip(*by_shard, strict=True)]


def measure(
    corpus: Sequence[str], questions: Sequence[tuple[str, int]], embedder: Embedder
) -> list[Row]:
    """A row of recall@3 for each number of shards; `questions` are (text, index of its card)."""
    collection = collection_from_texts(corpus, embedder)
    texts = [text for text, _ in questions]
    reference: list[list[Hit]] | None = None
    rows = []
    for count in SHARD_COUNTS:
        found = search(make_shards(collection, count), embedder, texts)
        reference = reference or found
        right = sum(
            card in [hit.passage_id for hit in hits]
            for (_, card), hits in zip(questions, found, strict=True)
        )
        recall = right / len(questions)
        same = found == reference
        rows.append(
            Row(
                name=f"recall@{TOP_K}, {embedder.name}, {count} shard{'s' if count > 1 else ''}",
                value=100 * recall,
                unit="%",
                bar=f">= {100 * BAR:g} %, same hits as 1 shard",
                holds=recall >= BAR and same,
                evidence=f"measured: {right} of {len(questions)} questions, {len(corpus)} passages"
                + ("" if same else "; hits DIFFER from 1 shard"),
            )
        )
    return rows


def main() -> int:
    parser = arguments("Recall of retrieval on the shipped corpus.")
    parser.add_argument("--embedder", default="hashing", help=f"one of {', '.join(EMBEDDERS)}")
    options = parser.parse_args()
    questions = [(q.question, q.card) for q in load_questions() if q.card is not None]
    rows = measure(load_corpus(), questions, make_embedder(options.embedder))
    return report(rows, options.json, title="Retrieval")


if __name__ == "__main__":
    raise SystemExit(main())
