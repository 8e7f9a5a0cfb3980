"""What changes logits, by hand; and that masks follow from the tokens alone."""

import json
import random
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from cluster.text.tokenizer import Tokenizer
from cluster.text.vocabulary import open_grammars
from configs.presets import model_folder
from workers.errors import InvalidRequest, PerfuseError
from workers.model.grammar import Grammars, Vocabulary, check
from workers.model.sampling import choose_all
from workers.model.sampling_params import SamplingParams
from workers.model.shaper import Shaper
from workers.model.shaping import Constraint, Shaping

FOLDER = Path(model_folder("perfuse-tiny"))
VOCAB, END = 512, 2
GRAMMARS = open_grammars(FOLDER)
TOKENIZER = Tokenizer.load(FOLDER)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["a", "ab", "é"]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "maxItems": 2},
    },
    "required": ["name", "kind", "parts"],
    "additionalProperties": False,
    "$defs": {"part": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
}


def shaper(shaping: Shaping, **params) -> Shaper:
    made = Shaper.of(SamplingParams(shaping=shaping, **params), GRAMMARS, (END,))
    assert made is not None
    return made


def row(**logits: float) -> np.ndarray:
    values = np.zeros(VOCAB, dtype=np.float32)
    for name, value in logits.items():
        values[int(name[1:])] = value
    return values


def test_biases_and_penalties_by_hand() -> None:
    """Prompt 5, 6; answer 7, 7, 8. Bias first, then repetition, frequency, presence: 7 is
    (3 + 1) / 2 - 0.5 x 2 - 0.25 = 0.75; 8 is -1 x 2 - 0.5 - 0.25 = -2.75; 5, in the prompt alone,
    is 4 / 2; 9, in neither, keeps its 6.
    """
    shaping = Shaping(None, ((7, 1.0),), 0.25, 0.5, 2.0)
    logits = row(t5=4, t6=-1, t7=3, t8=-1, t9=6)
    shaper(shaping).weigh(logits, [5, 6, 7, 7, 8], 2)
    assert [float(logits[i]) for i in (5, 6, 7, 8, 9)] == [2.0, -2.0, 0.75, -2.75, 6.0]


def test_presence_and_frequency_do_not_look_at_the_prompt() -> None:
    logits = row(t5=4)
    shaper(Shaping(None, (), 1.0, 1.0)).weigh(logits, [5, 5], 2)
    assert logits[5] == 4


def test_penalties_are_the_same_step_by_step_and_at_once() -> None:
    """As after a preemption, or at another chip."""
    shaping = Shaping(None, ((3, -2.0),), 0.5, 0.7, 1.3)
    tokens = [4, 5, 3, 3, 9, 4]
    step_by_step = shaper(shaping)
    for count in range(2, len(tokens) + 1):
        one, other = row(t3=2, t4=1, t9=-3), row(t3=2, t4=1, t9=-3)
        step_by_step.weigh(one, tokens[:count], 2)
        shaper(shaping).weigh(other, tokens[:count], 2)
        assert one.tobytes() == other.tobytes()


def test_weights_beyond_float32_fail_alone() -> None:
    with pytest.raises(PerfuseError, match="float32"):
        shaper(Shaping(repetition_penalty=0.01)).weigh(row(t5=3e38), [5], 1)


@pytest.mark.parametrize("seed", range(20))
def test_random_choices_end_valid_and_masks_follow_from_tokens(seed: int) -> None:
    """Whatever is chosen: valid under the schema; a fresh shaper says the same at each position."""
    chance, tokens = random.Random(seed), [7]
    shaping = Shaping(Constraint("json_schema", json.dumps(SCHEMA)))
    one = shaper(shaping)
    while tokens[-1] != END:
        logits, again = row(), row()
        one.forbid(logits, tokens, 1)
        shaper(shaping).forbid(again, tokens, 1)
        assert logits.tobytes() == again.tobytes()
        allowed = np.flatnonzero(np.isfinite(logits)).tolist()
        assert not {0, 1} & set(allowed), "other special tokens stand for no text"
        tokens.append(chance.choice(allowed))
    jsonschema.validate(json.loads(TOKENIZER.decode(tokens[1:])), SCHEMA)


def test_end_is_allowed_only_where_the_grammar_accepts() -> None:
    a, b = (TOKENIZER.encode(text)[0] for text in "ab")
    one = shaper(Shaping(Constraint("choice", '["a", "aa"]')))
    for answer, may_end in (([], False), ([a], True), ([a, a], True)):
        logits = row()
        one.forbid(logits, [7, *answer], 1)
        assert np.isfinite(logits[END]) == may_end
        assert not np.isfinite(logits[b])


def test_ignoring_the_end_lasts_as_long_as_there_is_more_to_say() -> None:
    (a,) = TOKENIZER.encode("a")
    one = shaper(Shaping(Constraint("choice", '["a", "aa"]')), ignore_eos=True)
    for answer, may_end in (([a], False), ([a, a], True)):
        logits = row()
        one.forbid(logits, [7, *answer], 1)
        assert np.isfinite(logits[END]) == may_end


def test_logprobs_are_of_what_is_allowed_before_weights() -> None:
    """Two of four may come, with logits 0 and ln 3: probabilities 1/4 and 3/4; the bias that turns
    the choice does not show.
    """
    allowed = np.array([[0.0, np.log(3), -np.inf, -np.inf]], dtype=np.float32)
    weighed = allowed + np.array([[9, 0, 0, 0]], dtype=np.float32)
    (choice,) = choose_all(allowed, [SamplingParams(logprobs=4)], [0.0], weighed_RV=weighed)
    assert choice.token_id == 0
    assert choice.logprob == pytest.approx(np.log(0.25))
    assert [token for token, _ in choice.top] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "text", "named"),
    [
        ("json_schema", '{"not": {}}', '"not"'),
        ("json_schema", '{"uniqueItems": true, "type": "array"}', '"uniqueItems"'),
        ("json_schema", '{"x-guidance": {"lenient": true}, "not": {}}', '"not"'),
        ("json_schema", '{"$ref": "#/$defs/none"}', "/$defs/none"),
        ("json_schema", '{"type": "strin"}', "strin"),
        ("json_schema", '{"minimum": 3, "maximum": 1, "type": "integer"}', "minimum"),
        ("regex", "(", "unclosed group"),
        ("grammar", "start: foo", '"foo"'),
        ("grammar", 'root ::= "a" foo', "foo"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(kind: str, text: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match="asked cannot be enforced") as refused:
        check(Constraint(kind, text, "asked"))  # type: ignore[arg-type]
    assert named in refused.value.message
    assert len(refused.value.message) < 300
    with pytest.raises(InvalidRequest, match="cannot be enforced"):
        GRAMMARS.begin(Constraint(kind, text, "asked"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("texts", "ends", "named"), [((b"",), (0,), "text"), ((b"a",), (), "end")])
def test_a_model_without_texts_or_end_refuses_constraints(texts, ends, named) -> None:
    grammars = Grammars(lambda: Vocabulary(texts, frozenset(), ends))
    with pytest.raises(InvalidRequest, match=named):
        grammars.begin(Constraint("regex", "a"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json_schema", '{"$ref": "#"}'),
        ("json_schema", '{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},'
                        ' "$ref": "#/$defs/a"}'),
        ("json_schema", '{"anyOf": [{"$ref": "#"}]}'),
        ("grammar", "start: start"),
        ("grammar", "start: a\na: b\nb: a"),
        ("grammar", "root ::= root"),
    ],
)  # fmt: skip
def test_a_grammar_without_a_text_is_refused_before_it_is_used(kind: str, text: str) -> None:
    for refuses in (check, GRAMMARS.begin):
        with pytest.raises(InvalidRequest, match="asked cannot be enforced: no text goes on"):
            refuses(Constraint(kind, text, "asked"))  # type: ignore[arg-type]


def test_a_grammar_that_leads_nowhere_later_is_the_request_s_fault_too() -> None:
    (a,) = TOKENIZER.encode("a")
    grammar = GRAMMARS.begin(Constraint("grammar", 'start: "a" b\nb: b', "asked"))
    assert np.flatnonzero(grammar.allowed()).tolist() == [a]
    grammar.follow([a], 0)
    with pytest.raises(InvalidRequest, match="asked cannot be enforced: after 1 tokens"):
        grammar.allowed()


def test_a_token_that_was_not_allowed_is_not_the_request_s_fault() -> None:
    grammar = GRAMMARS.begin(Constraint("choice", '["a"]', "asked"))
    with pytest.raises(PerfuseError, match="left its grammar") as refused:
        grammar.follow(TOKENIZER.encode("b"), 0)
    assert not isinstance(refused.value, InvalidRequest)


@pytest.mark.parametrize(("size", "fits"), [(501, True), (2000, True), (5200, False)])
def test_many_properties_may_come_next(size: int, fits: bool) -> None:
    properties = {f"p{i}": {"const": 1} for i in range(size)}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    texts = (*(bytes([byte]) for byte in range(255)), b"")
    grammars = Grammars(lambda: Vocabulary(texts, frozenset(), (255,)))
    grammar = grammars.begin(Constraint("json_schema", json.dumps(schema), "asked"))
    if fits:
        grammar.follow(list(b'{"p3":1,'), 0)
        assert np.flatnonzero(grammar.allowed()).tolist() == list(b' "')
        return
    with pytest.raises(InvalidRequest, match="asked cannot be enforced: after 1 tokens"):
        grammar.follow(list(b"{"), 0)


def test_a_grammar_of_token_ids_is_left_to_the_model_that_has_them() -> None:
    asked = Constraint("grammar", "start: <[300]>", "asked")
    check(asked)
    assert np.flatnonzero(GRAMMARS.begin(asked).allowed()).tolist() == [300]


def test_a_constraint_has_64_kib_at_most() -> None:
    Constraint("regex", "a" * 65_536).validate()
    with pytest.raises(InvalidRequest, match="has 65537 bytes: at most 65536 are read"):
        Constraint("regex", "a" * 65_537).validate()


def test_compiled_constraints_of_256_kib_are_kept() -> None:
    """By the length of their texts, the oldest goes first."""
    grammars = Grammars(
        lambda: Vocabulary(tuple(bytes([i]) for i in range(256)), frozenset(), (255,))
    )
    many = [Constraint("choice", json.dumps([name * 32_764])) for name in "abcdefghi"]
    assert {len(one.text) for one in many} == {32_768}
    for one in many:
        grammars.begin(one)
    assert list(grammars._compiled) == many[1:], "eight of 32 KiB"
