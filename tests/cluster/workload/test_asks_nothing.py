"""Rows and turns that ask for nothing: passed over and counted, and what they say is not lost."""

import pytest

from cluster.workload.traces import TraceError
from tests.cluster.workload.trace_files import AZURE_2024, lengths, questions, read, rows


def chat(*said: tuple[str, str]) -> str:
    return rows({"id": "a", "conversations": [{"from": f, "value": v} for f, v in said]})


def test_a_systems_words_before_a_greeting_reach_the_first_question(tmp_path) -> None:
    said = (("system", "S"), ("gpt", "hello"), ("human", "q1"), ("gpt", "a1"))
    trace = read(tmp_path, chat(*said, ("human", "q2"), ("gpt", "a2")))
    assert questions(trace) == [[("system", "S"), ("user", "q1")], [("user", "q2")]]
    assert trace.num_skipped == 0 and "answers before a conversation's first" in trace.notes[0]


def test_a_question_without_an_answer_comes_with_the_next_one(tmp_path) -> None:
    said = (("human", "q"), ("gpt", ""), ("human", "q2"), ("gpt", "b"))
    trace = read(tmp_path, chat(*said))
    assert questions(trace) == [[("user", "q"), ("user", "q2")]]
    assert trace.num_skipped == 1
    # Nothing follows: nothing is asked. Blank questions are not carried.
    trace = read(tmp_path, chat(("human", " "), ("gpt", "a"), *said, ("human", "q3"), ("gpt", "")))
    assert questions(trace) == [[("user", "q"), ("user", "q2")]]
    assert trace.num_skipped == 3
    trace = read(tmp_path, chat(("human", "q"), ("gpt", ""), ("gpt", "b"), ("human", "q2")))
    assert questions(trace) == [[("user", "q")], [("user", "q2")]]


def test_an_aiperf_turn_of_length_0_comes_with_the_next_one(tmp_path) -> None:
    turns = [{"text": "q", "output_length": 0}, {"text": ""}, {"text": "q2"}, {"text": "q3"}]
    trace = read(tmp_path, rows({"session_id": "s", "turns": turns}, {"turns": []}))
    assert questions(trace) == [[("user", "q"), ("user", "q2")], [("user", "q3")]]
    assert trace.num_skipped == 3


FINE = {
    "vllm": {"prompt": "x", "output_tokens": 3},
    "aiperf": {"text": "x", "output_length": 3},
    "mooncake": {"text_input": "x", "output_length": 3},
    "sharegpt": {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]},
    "llmservingsim": {"input_toks": 1, "output_toks": 3},
}
EMPTY = [
    ("vllm", {"prompt": "", "output_tokens": 3}),
    ("aiperf", {"text": "", "output_length": 3}),
    ("aiperf", {"texts": [], "output_length": 3}),
    ("aiperf", {"turns": []}),
    ("mooncake", {"text_input": "", "output_length": 3}),
    ("mooncake", {"messages": [], "output_length": 3}),
    ("sharegpt", {"conversations": []}),
    ("sharegpt", {"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": ""}]}),
    ("llmservingsim", {"input_toks": 0, "output_toks": 3}),
    ("llmservingsim", {"sub_requests": []}),
]


@pytest.mark.parametrize(("kind", "empty"), EMPTY)
def test_an_empty_prompt_is_skipped_in_every_format(tmp_path, kind, empty) -> None:
    for text in (rows(FINE[kind], empty), rows(empty, FINE[kind])):
        trace = read(tmp_path, text)
        assert (trace.kind, len(trace), trace.num_skipped) == (kind, 1, 1)


@pytest.mark.parametrize("empty", ["\n", "\r\n", "  \n\n"])
def test_a_table_may_begin_with_empty_lines(tmp_path, empty: str) -> None:
    text = empty + AZURE_2024.replace("\n", "\n" + empty, 2)
    assert lengths(read(tmp_path, text)) == lengths(read(tmp_path, AZURE_2024))
    wrong = empty + AZURE_2024.replace("2162", "x")
    line = empty.count("\n") + 2
    with pytest.raises(TraceError, match=rf":{line}: ContextTokens is 'x'"):
        read(tmp_path, wrong)
    with pytest.raises(TraceError, match=rf":{line - 1}: lacks column Timestamp"):
        read(tmp_path, wrong, "burstgpt")
    with pytest.raises(TraceError, match="lacks column TIMESTAMP"):
        read(tmp_path, "\n", "azure")
