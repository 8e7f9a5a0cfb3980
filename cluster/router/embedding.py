"""Vectors for users, by the embedders of the vector stores."""

from collections.abc import Sequence
from dataclasses import replace

from cluster.api.embedding import EMBED_CHARS_MAX, Embed, Embedded
from cluster.retrieval.embedder import EMBEDDERS, Embedder
from cluster.router.stores import DEFAULT_EMBEDDER, Stores
from cluster.text.tokenizer import Tokenizer
from configs.outside import shown
from workers.errors import ContextTooLong, InvalidRequest, NotFound
from workers.node import Node

# Reading an embedder's files, for how it queues: 90 MB, some hundred ms. ASSUMED.
OPENING_OPERATIONS = 200_000_000
# Counting tokens. ASSUMED, for how it queues.
OPERATIONS_PER_CHAR = 100
# Looking up what a token stands for. ASSUMED, for how it queues.
OPERATIONS_PER_TOKEN = 1_000


class Embedding:
    """Charges the router's machine for each call, so a long list comes as several."""

    def __init__(self, node: Node, stores: Stores, served: str, tokenizer: Tokenizer) -> None:
        """`tokenizer`: of the model that is `served`."""
        self._node, self._stores = node, stores
        self._served, self._tokenizer = served, tokenizer

    async def embed(self, asked: Embed) -> Embedded:
        """Raises NotFound for an unknown embedder, InvalidRequest naming a text that has no vector,
        or of which the embedder would not read all.
        """
        if asked.ids:
            asked = replace(asked, texts=await self._texts(asked), ids=())
        _check_chars(asked)
        hardware, texts = self._node.hardware, asked.texts
        embedder = await self._embedder(asked.model)
        size = OPERATIONS_PER_CHAR * sum(map(len, texts))
        counts = await hardware.beside(size, lambda: [embedder.num_tokens(t) for t in texts])
        _check_tokens(asked, embedder, counts)
        vectors = await hardware.run(embedder.work(texts), embedder.embed, texts)
        for index, row in enumerate(vectors):
            if not row.any():
                raise InvalidRequest(
                    f"{_place(asked, index)} has nothing to embed: it must have more than white "
                    "space and accents",
                    param="input",
                )
        return Embedded(vectors, sum(counts))

    async def _texts(self, asked: Embed) -> tuple[str, ...]:
        """Of token ids. They say nothing without their tokenizer, and only the served model's is
        known.
        """
        if asked.model != self._served:
            raise InvalidRequest(
                f"input has token ids, and embedder {shown(asked.model)} reads text: send strings, "
                f"or ids of {self._served!r} to that model",
                param="input",
            )
        vocab = self._tokenizer.vocab_size
        for index, row in enumerate(asked.ids):
            wrong = next((token for token in row if not 0 <= token < vocab), None)
            if wrong is not None:
                raise InvalidRequest(
                    f"{_place(asked, index)} has token id {wrong}: the model's go from 0 to "
                    f"{vocab - 1}, so another tokenizer made it. Send strings (langchain's "
                    "OpenAIEmbeddings does with check_embedding_ctx_length=False)",
                    param="input",
                )
        size = OPERATIONS_PER_TOKEN * sum(map(len, asked.ids))
        decode = self._tokenizer.decode
        return await self._node.hardware.beside(size, lambda: tuple(map(decode, asked.ids)))

    async def _embedder(self, model: str) -> Embedder:
        known = {*EMBEDDERS, *(store.embedder for store in self._stores.all())}
        name = DEFAULT_EMBEDDER if model == self._served else model
        if name not in known:
            raise NotFound(
                f"no embedder {shown(model)}; there are: {', '.join(sorted(known))}, and "
                f"{self._served!r}, which is {DEFAULT_EMBEDDER} here",
                param="model",
            )
        try:
            return await self._node.hardware.beside(
                OPENING_OPERATIONS, lambda: self._stores.embedder(name)
            )
        except ImportError as error:
            raise InvalidRequest(str(error), param="model") from error


def _check_chars(asked: Embed) -> None:
    for index, text in enumerate(asked.texts):
        if len(text) > EMBED_CHARS_MAX:
            raise InvalidRequest(
                f"{_place(asked, index)} has {len(text)} characters: at most {EMBED_CHARS_MAX} "
                "are embedded",
                param="input",
            )


def _check_tokens(asked: Embed, embedder: Embedder, counts: Sequence[int]) -> None:
    for index, count in enumerate(counts):
        if embedder.tokens_max and count > embedder.tokens_max:
            raise ContextTooLong(
                f"{_place(asked, index)} has {count} tokens: this model's maximum context length "
                f"is {embedder.tokens_max} tokens",
                param="input",
            )


def _place(asked: Embed, index: int) -> str:
    return f"input[{asked.first + index}]"
