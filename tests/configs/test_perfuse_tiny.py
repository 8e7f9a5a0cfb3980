"""Tests of the perfuse-tiny folder: its data, its tokenizer and its exported weights."""

import json
from itertools import islice

import pytest
import torch
from jinja2 import Environment
from safetensors import safe_open
from tokenizers import Tokenizer

from configs.perfuse_tiny import MODEL_DIR, load_corpus, load_questions
from configs.perfuse_tiny.batches import Plan, answer_mask, batches_from
from configs.perfuse_tiny.cards import (
    RETRIEVED,
    UNANSWERABLE_COUNT,
    UNKNOWN,
    make_corpus,
    make_questions,
)
from configs.perfuse_tiny.chats import training_chats
from configs.perfuse_tiny.evaluate import recall
from configs.perfuse_tiny.muon import orthogonalise
from configs.perfuse_tiny.names import split_of
from configs.perfuse_tiny.network import Network, Shape, hugging_face_state, load_exported
from configs.perfuse_tiny.retrieval import HashingRetriever
from configs.perfuse_tiny.tokenizer import END_ID, PAD_ID, START_ID, VOCABULARY, render

HEADER = "<|im_start|>assistant\n"
CHAT = [
    {"role": "system", "content": "The memory of Vextal-7 is 16 GB."},
    {"role": "user", "content": "What is the memory of Vextal-7?"},
    {"role": "assistant", "content": "16 GB"},
    {"role": "user", "content": "What power does Vextal-7 have?"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Return the shipped tokenizer."""
    return Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))


def test_shipped_text_is_what_the_seed_gives() -> None:
    cards = make_corpus()
    assert load_corpus() == [card.text for card in cards]
    assert load_questions() == make_questions(cards)


def test_corpus_states_every_fact_once() -> None:
    cards = make_corpus()
    assert len(cards) >= 2_000
    assert len({(card.device, card.attribute) for card in cards}) == len(cards)
    assert all(split_of(card.device) == "shipped" for card in cards)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_training_never_meets_a_shipped_name(progress: float) -> None:
    shipped = {card.device for card in make_corpus()}
    stems = {name.split("-")[0] for name in shipped}
    for chat in islice(training_chats(3, progress), 5_000):
        text = " ".join(message["content"] for message in chat)
        names = {word.strip(".,?") for word in text.replace("\n", " ").split() if "-" in word}
        assert names
        assert not {name.split("-")[0] for name in names} & stems
        assert all(split_of(name) == "train" for name in names)


def test_questions_agree_with_their_cards() -> None:
    cards, questions = make_corpus(), load_questions()
    assert len(questions) == 500
    assert sum(q.card is None for q in questions) == UNANSWERABLE_COUNT
    told = {(card.device, card.attribute) for card in cards}
    devices = {card.device for card in cards}
    for question in questions:
        words = question.question.rstrip("?.").split()
        device = next(word for word in words if "-" in word)
        if question.card is None:
            assert question.answer == UNKNOWN
            assert device in devices
            assert not any((device, word) in told for word in words)
        else:
            card = cards[question.card]
            assert question.answer == card.value
            assert card.device == device
            assert card.attribute in words
            assert card.value in load_corpus()[question.card]


def test_retrieval_finds_the_card() -> None:
    questions = load_questions()
    found = HashingRetriever(load_corpus()).search([q.question for q in questions], RETRIEVED)
    assert recall(questions, found) >= 0.99


def test_tokenizer_keeps_digits_apart_and_round_trips(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == VOCABULARY
    tokens = [t for t in tokenizer.get_vocab() if set(t) & set("0123456789")]
    assert sorted(tokens) == list("0123456789")
    for text in (*load_corpus()[:200], "Grüße, 1638 GB/s\n\t§ 漢字", " two  spaces "):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    ids = [tokenizer.token_to_id(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    assert ids == [PAD_ID, START_ID, END_ID]


def test_chat_template_renders_what_training_saw() -> None:
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((MODEL_DIR / "chat_template.jinja").read_text())
    for messages in (CHAT, CHAT[1:2], CHAT[:3]):
        for prompt in (False, True):
            text = template.render(messages=messages, add_generation_prompt=prompt)
            assert text == render(messages, prompt)
    assert render(CHAT[1:2], True) == (
        "<|im_start|>user\nWhat is the memory of Vextal-7?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_answers_are_what_the_mask_marks(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(render(CHAT[:3])).ids
    mask = answer_mask(ids, tokenizer.encode(HEADER).ids)
    marked = [token for token, inside in zip(ids, mask, strict=True) if inside]
    assert tokenizer.decode(marked, skip_special_tokens=False) == "16 GB<|im_end|>"


def test_batches_depend_only_on_the_step(tokenizer: Tokenizer) -> None:
    plan = Plan(steps=40, batch=4)
    straight = list(islice(batches_from(tokenizer, plan, 0), 12))
    resumed = next(iter(batches_from(tokenizer, plan, 11)))
    assert torch.equal(straight[11].ids, resumed.ids)


def test_config_names_the_end_token() -> None:
    for name in ("config.json", "generation_config.json"):
        assert json.loads((MODEL_DIR / name).read_text())["eos_token_id"] == END_ID
    assert json.loads((MODEL_DIR / "config.json").read_text()) == Shape().hugging_face()


def test_weights_are_small_and_complete() -> None:
    path = MODEL_DIR / "model.safetensors"
    assert path.stat().st_size <= 10 * 2**20
    wanted = hugging_face_state(Network(Shape()))
    with safe_open(path, framework="pt") as weights:
        assert set(weights.keys()) == set(wanted)
        for name in wanted:
            tensor = weights.get_tensor(name)
            assert tensor.shape == wanted[name].shape
            assert tensor.dtype == torch.float32


def test_muon_flattens_singular_values() -> None:
    torch.manual_seed(0)
    for rows, columns in ((64, 128), (128, 64)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(2, rows, columns)))
        assert values.min() > 0.2
        assert values.max() < 1.4


def test_transformers_computes_what_was_trained() -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32)
    hub_tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
    network = load_exported(MODEL_DIR)
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    for messages in (CHAT, CHAT[1:2]):
        ids = hub_tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        assert ids[0].tolist() == tokenizer.encode(render(messages, True)).ids
        with torch.no_grad():
            logits, _ = network(ids)
            difference = (model(ids).logits - logits).abs().max()
        assert difference <= 1e-4
