"""Each format as its own project writes it: lengths, times, sessions and words by hand."""

import json
from typing import Any

import pytest

from cluster.workload.traces import TraceError
from tests.cluster.workload.trace_files import (
    AZURE_2024,
    BURST,
    MS,
    S,
    lengths,
    questions,
    read,
    rows,
)


def test_azure_2024_has_a_time_zone(tmp_path) -> None:
    trace = read(tmp_path, AZURE_2024)
    assert trace.kind == "azure" and trace.notes == []
    assert lengths(trace) == [(0, 2162, 5), (7_405_000, 2399, 6), (8_070_000, 76, 15)]


def test_other_ways_to_write_a_moment_are_the_same(tmp_path) -> None:
    """01:00 in a zone of +01:00 is 00:00 UTC; with T and Z, quotes, CR LF, a BOM, empty lines."""
    text = (
        '\ufeff"TIMESTAMP","ContextTokens","GeneratedTokens"\r\n\r\n'
        "2024-05-10 01:00:00.009930+01:00,2162.0,5\r\n"
        '2024-05-10T00:00:00.017335Z,"2399",6\r\n\r\n'
        "2024-05-09 19:00:00.018-0500,76,15\r\n"
    )
    assert lengths(read(tmp_path, text)) == lengths(read(tmp_path, AZURE_2024))


def test_a_moment_that_is_none_is_refused(tmp_path) -> None:
    for moment in ("2024-02-30 00:00:00", "2024-05-10 00:00:00+25:00", "2300-01-01 00:00:00", ""):
        text = f"TIMESTAMP,ContextTokens,GeneratedTokens\n{moment},1,1\n"
        with pytest.raises(TraceError, match=":2: TIMESTAMP is"):
            read(tmp_path, text)


def test_burstgpt_counts_seconds_and_skips_failures(tmp_path) -> None:
    text = (
        f"{BURST}\n19440110.0,a,43,GPT-4,906,446,1352,Conversation log\n"
        "19440161.5,b,2,ChatGPT,36,29,65,API log\n19440162,b,0,ChatGPT,36,0,36,API log\n"
        "19440170.0,a,3,GPT-4,1400,5,1405,Conversation log\n"
    )
    trace = read(tmp_path, text)
    assert (trace.kind, trace.num_skipped) == ("burstgpt", 1)
    assert lengths(trace) == [(0, 906, 446), (51_500 * MS, 36, 29), (60 * S, 1400, 5)]
    assert [(e.session, e.turn, e.history) for e in trace] == [
        ("a", 0, "none"), ("b", 0, "none"), ("a", 1, "whole"),
    ]  # fmt: skip
    assert "1 rows skipped" in trace.notes[0]
    older = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,x,7,1,8,y\n"
    assert [(e.session, e.input_length) for e in read(tmp_path, older)] == [("", 7)]
    assert "not used here: Elapsed time, Model, Total tokens, Log Type" in trace.notes[1]


def test_vidur_counts_seconds_exactly_or_has_no_times(tmp_path) -> None:
    text = (
        "arrived_at,num_prefill_tokens,num_decode_tokens\n"
        "0.0,374,44\n4.314579,396,109\n5.8926549999999995,91,16\n"
    )
    assert lengths(read(tmp_path, text)) == [
        (0, 374, 44), (4_314_579_000, 396, 109), (5_892_655_000, 91, 16),
    ]  # fmt: skip
    bare = read(tmp_path, "num_prefill_tokens,num_decode_tokens,pd_ratio\n3,4,0.75\n5,6,0.83\n")
    assert not bare.has_times and lengths(bare) == [(0, 3, 4), (0, 5, 6)]


CONVERSATIONS = [
    {
        "id": "x",
        "conversations": [
            {"from": "human", "value": "one"},
            {"from": "gpt", "value": "first answer"},
            {"from": "human", "value": "two"},
            {"from": "gpt", "value": "second answer"},
        ],
    },
    {"id": "y", "conversations": []},
    {"id": "x", "conversations": [{"from": "gpt", "value": "hi"}, {"from": "human", "value": "é"}]},
]


@pytest.mark.parametrize("style", ["array", "indented", "lines"])
def test_sharegpt_gives_a_request_for_each_question(tmp_path, style: str) -> None:
    text = {
        "array": json.dumps(CONVERSATIONS),
        "indented": "\ufeff" + json.dumps(CONVERSATIONS, indent=2, ensure_ascii=False),
        "lines": rows(*CONVERSATIONS),
    }[style]
    trace = read(tmp_path, text)
    assert (trace.kind, trace.has_times, trace.num_skipped) == ("sharegpt", False, 1)
    assert questions(trace) == [[("user", "one")], [("user", "two")], [("user", "é")]]
    assert [said.reply for i in range(3) if (said := trace.said(i))] == [
        "first answer", "second answer", None,
    ]  # fmt: skip
    assert [(e.turn, e.history) for e in trace] == [(0, "none"), (1, "added"), (0, "none")]
    assert trace.next_turn.tolist() == [1, -1, -1]


def test_openai_messages_are_conversations_too(tmp_path) -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "a"},
    ]
    trace = read(tmp_path, rows({"messages": messages}))
    assert trace.kind == "sharegpt"
    assert questions(trace) == [[("system", "s"), ("user", "q")]]


def test_a_long_array_is_read_piece_by_piece(tmp_path) -> None:
    """Items of 100 KB: longer than a piece that is read at once, at offsets beyond it."""
    made = [
        {"conversations": [{"from": "human", "value": f"{i} " + "ü" * 50_000}]} for i in range(12)
    ]
    trace = read(tmp_path, json.dumps(made, ensure_ascii=False))
    assert [words[0][1].split()[0] for words in questions(trace)] == [str(i) for i in range(12)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"prompt": "a"}', "',' or ']' must follow: it ends"),
        ('[{"prompt": "a"} {"prompt": "b"}]', 'must follow, but \'{"prompt"'),
        ('[{"prompt": "a"}] x', "something follows the array"),
        ('[{"prompt": "a"', "item 0: is not JSON"),
        ("[]", "holds no request"),
    ],
)
def test_broken_arrays_are_named(tmp_path, text: str, told: str) -> None:
    with pytest.raises(TraceError, match=told):
        read(tmp_path, text)


def test_vllm_custom_prompts_and_saved_results(tmp_path) -> None:
    trace = read(tmp_path, rows({"prompt": "a", "output_tokens": 7}, {"prompt": "b"}))
    assert trace.kind == "vllm" and questions(trace) == [[("user", "a")], [("user", "b")]]
    assert [e.output_length for e in trace] == [7, None]
    result = {
        "duration": 3.5, "input_lens": [10, 20, 30], "output_lens": [5, 0, 6],
        "start_times": [100.25, 100.5, 101.0], "errors": ["", "timeout", ""],
    }  # fmt: skip
    for indent in (None, 2):
        trace = read(tmp_path, json.dumps(result, indent=indent))
        assert lengths(trace) == [(0, 10, 5), (750 * MS, 30, 6)] and trace.num_skipped == 1
    with pytest.raises(TraceError, match="must be equally long"):
        read(tmp_path, json.dumps(result | {"output_lens": [1]}))


def test_llmservingsim_flat_rows_and_sessions(tmp_path) -> None:
    text = rows(
        {"input_toks": 3, "output_toks": 2, "arrival_time_ns": 1_000, "input_tok_ids": [7, 8, 9]},
        {
            "session_id": "task",
            "arrival_time_ns": 4_059_740,
            "sub_requests": [
                {"input_toks": 1472, "output_toks": 133, "tool_duration_ns": 127_348_767},
                {"input_toks": 1582, "output_toks": 125, "tool_duration_ns": 0},
            ],
        },
    )
    trace = read(tmp_path, text)
    assert trace.kind == "llmservingsim" and trace.most_token_id == 9
    first = trace.said(0)
    assert first is not None and first.token_ids == (7, 8, 9)
    assert lengths(trace)[1:] == [(4_058_740, 1472, 133), (131_407_507, 1582, 125)]
    assert (trace[2].delay_ns, trace[2].history, trace[2].turn) == (127_348_767, "whole", 1)
    with pytest.raises(TraceError, match=":1: input_tok_ids is 1 ids: it must be 3"):
        read(tmp_path, rows({"input_toks": 3, "output_toks": 2, "input_tok_ids": [1]}))


def test_aiperf_turns(tmp_path) -> None:
    text = rows(
        {
            "session_id": "s",
            "turns": [
                {"role": "system", "text": "be kind"},
                {"timestamp": 10, "text": "one", "output_length": 4},
                {"delay": 1000.5, "texts": ["two", {"name": "n", "contents": ["more"]}]},
            ],
        },
        {"text": "alone", "timestamp": 12.5, "output_length": "3"},
        {"timestamp": 15, "input_length": 300, "output_length": 40},
    )
    trace = read(tmp_path, text)
    assert trace.kind == "aiperf"
    assert [e.at_ns for e in trace] == [0, 2_500_000, 5_000_000, 1_000_500_000]
    assert questions(trace) == [
        [("system", "be kind"), ("user", "one")], [("user", "alone")], [("user", "two\nmore")],
    ]  # fmt: skip
    assert (trace[3].delay_ns, trace[3].history) == (1_000_500_000, "added")
    with pytest.raises(TraceError, match=":1: has no text: images"):
        read(tmp_path, rows({"image": "http://x"}), "aiperf")


def test_mooncake_sessions_say_themselves_how_they_are_meant(tmp_path) -> None:
    """60 + 20 <= 110: the second prompt has the first in it. AIPerf's 150 cannot hold 300 + 40."""

    def session(*turns: dict[str, Any], **options: Any) -> list[str]:
        lines = ({"session_id": 1, "output_length": 40, **turn} for turn in turns)
        return [e.history for e in read(tmp_path, rows(*lines), **options)]

    assert session({"input_length": 60}, {"input_length": 110, "delay": 5}) == ["none", "whole"]
    assert session({"input_length": 300}, {"input_length": 150, "delay": 2}) == ["none", "added"]
    assert session(
        {"input_length": 60}, {"input_length": 110}, history="added"
    ) == ["none", "added"]  # fmt: skip
    # Its blocks say that it begins otherwise.
    assert session(
        {"input_length": 600, "hash_ids": [1, 2]}, {"input_length": 700, "hash_ids": [8, 9]}
    ) == ["none", "none"]  # fmt: skip


def test_a_turn_comes_after_its_delay_or_at_its_time(tmp_path) -> None:
    row = {"input_length": 5, "output_length": 1, "session_id": "a"}
    trace = read(
        tmp_path,
        rows(
            row | {"timestamp": 100},
            row | {"delay": 30, "timestamp": 0},
            row | {"timestamp": 400.5},
            row | {"timestamp": 50, "session_id": "b"},
            row,
        ),
    )
    assert [(e.session, e.at_ns, e.delay_ns) for e in trace] == [
        ("b", 0, None), ("a", 50 * MS, None), ("a", 80 * MS, 30 * MS),
        ("a", 350_500_000, None), ("a", 350_500_000, None),
    ]  # fmt: skip
    assert trace.next_turn.tolist() == [-1, 2, 3, 4, -1]


def test_aiperf_words_in_mooncake_rows(tmp_path) -> None:
    said = {"messages": [{"role": "user", "content": "hi"}], "output_length": 3, "timestamp": 0}
    trace = read(tmp_path, rows(said, {"timestamp": 1, "text_input": "x", "output_length": 2}))
    assert trace.kind == "mooncake" and questions(trace) == [[("user", "hi")], [("user", "x")]]
    with pytest.raises(TraceError, match=":1: payload is"):
        read(tmp_path, rows({"payload": {"prompt": "x"}}))
    with pytest.raises(TraceError, match="has input_length and text_input: only one"):
        read(tmp_path, rows({"input_length": 3, "text_input": "x"}))
