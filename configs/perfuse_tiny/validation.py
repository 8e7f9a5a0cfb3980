"""How well a network answers about devices that it has never met."""

import torch
from tokenizers import Tokenizer

from configs.perfuse_tiny.batches import collate
from configs.perfuse_tiny.cards import RETRIEVED, make_corpus, make_questions
from configs.perfuse_tiny.chats import as_messages
from configs.perfuse_tiny.network import Network
from configs.perfuse_tiny.retrieval import HashingRetriever
from configs.perfuse_tiny.tokenizer import render


class Validation:
    """Questions about a corpus of names that are in neither the training nor the shipped split."""

    def __init__(self, tokenizer: Tokenizer, questions: int = 400) -> None:
        cards = make_corpus(seed=11, split="validation", devices=200)
        asked = make_questions(cards, seed=11, count=questions, unanswerable=questions // 10)
        retriever = HashingRetriever([card.text for card in cards])
        found = retriever.search([q.question for q in asked], RETRIEVED)
        header = tokenizer.encode("<|im_start|>assistant\n").ids
        chats = [
            render(as_messages([cards[i].text for i in hits], [(q.question, q.answer)]))
            for q, hits in zip(asked, found, strict=True)
        ]
        rows = [encoding.ids for encoding in tokenizer.encode_batch(chats)]
        self.batch = collate(rows, header, 0.0)

    @torch.no_grad()
    def exact_rate(self, network: Network) -> float:
        """Return how many answers greedy decoding gets right.

        Greedy decoding gives an answer exactly when every token of it is the most likely one
        after the tokens before it, so one forward pass over the right answers decides.
        """
        logits, _ = network(self.batch.ids[:, :-1])
        right = logits.argmax(-1) == self.batch.ids[:, 1:]
        needed = self.batch.weights[:, 1:] > 0
        return float((right | ~needed).all(dim=1).float().mean())
