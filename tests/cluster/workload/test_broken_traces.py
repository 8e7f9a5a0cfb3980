"""What is wrong with a trace, or only strange: said once, with file and line."""

import gzip
import json
import os
from pathlib import Path

import pytest

from cluster.workload.prompts import QuestionsError, question_prompts
from cluster.workload.traces import TraceError
from tests.cluster.workload.trace_files import AZURE_2024, BURST, MS, lengths, read, rows


def test_unknown_keys_are_named_once(tmp_path) -> None:
    row = {"timestamp": 0, "input_length": 5, "output_length": 1, "colour": "red", "priority": 2}
    notes = read(tmp_path, rows(row, row, row | {"size": 3})).notes
    assert len(notes) == 2
    assert "'colour' (first in" in notes[0] and "'size' (first in" in notes[0]
    assert notes[0].count("colour") == 1 and ":3)" in notes[0]
    assert notes[1].endswith("not used here: priority")


def test_rows_out_of_order_are_sorted_and_said(tmp_path) -> None:
    made = [
        {"timestamp": t, "input_length": n, "output_length": 1} for t, n in ((9, 1), (5, 2), (9, 3))
    ]
    trace = read(tmp_path, rows(*made))
    assert lengths(trace) == [(0, 2, 1), (4 * MS, 1, 1), (4 * MS, 3, 1)]
    assert "1 rows were earlier" in trace.notes[0]


@pytest.mark.parametrize("value", ["-1", "NaN", "1e400", "-0.5", '"12 ms"', "true", "[1]"])
def test_times_that_are_none_are_refused(tmp_path, value: str) -> None:
    text = (
        f'{{"input_length": 5, "output_length": 1}}\n{{"timestamp": {value}, "input_length": 5}}\n'
    )
    with pytest.raises(TraceError, match=r":2: '?timestamp'? is"):
        read(tmp_path, text, "mooncake")


@pytest.mark.parametrize(
    "row",
    [{"texts": -1}, {"texts": "x"}, {"texts": {"contents": ["x"]}}, {"image": "x", "texts": [1]},
     {"turns": [{"texts": 5}]}, {"turns": [{"images": ["x"], "texts": [None]}]}],
    ids=str,
)  # fmt: skip
def test_words_that_are_no_texts_are_refused_with_their_line(tmp_path, row) -> None:
    with pytest.raises(TraceError, match=r":1.*: texts? .*must be"):
        read(tmp_path, rows(row))


@pytest.mark.parametrize("value", ["nan", "-3", "1e99", "inf", "5.5", "12 s", "0x10"])
def test_figures_in_csv_that_are_none_are_refused(tmp_path, value: str) -> None:
    text = f"arrived_at,num_prefill_tokens,num_decode_tokens\n0,1,1\n1,{value},1\n"
    with pytest.raises(TraceError, match=rf":3: num_prefill_tokens is '{value}'"):
        read(tmp_path, text)


def test_some_rows_with_and_some_without_times_are_refused(tmp_path) -> None:
    row = {"input_length": 5, "output_length": 1}
    with pytest.raises(TraceError, match=":2: has no time, but other rows have"):
        read(tmp_path, rows(row | {"timestamp": 0}, row))


def test_packed_files_of_lengths_are_read_and_those_of_words_refused(tmp_path) -> None:
    assert lengths(read(tmp_path, gzip.compress(AZURE_2024.encode())))[0] == (0, 2162, 5)
    with pytest.raises(TraceError, match=r"unpack it first \(gunzip\)"):
        read(tmp_path, gzip.compress(rows({"prompt": "x"}).encode()))
    with pytest.raises(TraceError, match="cannot be unpacked"):
        read(tmp_path, gzip.compress(AZURE_2024.encode())[:-20])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b,c\n1,2,3\n", "'a', 'b', 'c'"),
        ('{"tokens_in": 3}\n', "'tokens_in'"),
        ('{"chat_id": 1, "parent_chat_id": -1, "input_length": 5, "timestamp": 61.1}', "'chat_id'"),
    ],
)
def test_an_unknown_format_names_what_is_there_and_all_that_are_read(tmp_path, text, found) -> None:
    with pytest.raises(TraceError, match=f"its first row has {found}") as caught:
        read(tmp_path, text)
    for kind in ("mooncake", "azure", "burstgpt", "sharegpt", "vllm", "llmservingsim", "vidur"):
        assert f"{kind} (" in str(caught.value)


def test_a_named_format_is_forced(tmp_path) -> None:
    with pytest.raises(TraceError, match="lacks column TIMESTAMP"):
        read(tmp_path, BURST + "\n", "azure")


def test_blocks_of_another_size(tmp_path) -> None:
    text = rows({"timestamp": 0, "input_length": 40, "output_length": 1, "hash_ids": [1, "2", 3.0]})
    assert read(tmp_path, text, block_tokens=16)[0].hash_ids == (1, 2, 3)
    with pytest.raises(TraceError, match=r"it must be 1, .* name block_tokens"):
        read(tmp_path, text)


TABLE = "arrived_at,num_prefill_tokens,num_decode_tokens\n"
ITEMS = rows(*({"prompt": f"p{n}", "output_tokens": 1} for n in range(9)))


@pytest.mark.parametrize(
    ("text", "num_requests"),
    [
        (TABLE + "0,1,-1\n0,1,1\n", None),
        (TABLE + "0,1,1,1\n0,1,1\n", None),
        (TABLE.replace("num_decode_tokens", "x") + "0,1,1\n", None),
        (ITEMS.replace('"p3"', "5"), None),
        ("[" + ITEMS.strip().replace("\n", ",").replace('"p3"', "5") + "]", None),
        (ITEMS.replace('"p3"', "5"), 5),
    ],
)
def test_an_error_keeps_no_file_open(tmp_path, text: str, num_requests: int | None) -> None:
    """The error is still at hand, and with it every frame that it went through."""
    with pytest.raises(TraceError) as caught:
        read(tmp_path, text, num_requests=num_requests)
    assert not opened_in(tmp_path), caught.tb


def test_a_wrong_question_keeps_no_file_open(tmp_path) -> None:
    path = tmp_path / "questions"
    path.write_text('{"question": 1}\n' * 9)
    with pytest.raises(QuestionsError) as caught:
        question_prompts(path, 2)
    assert not opened_in(tmp_path), caught.tb


def opened_in(folder: Path) -> list[str]:
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return [to for link in links if (to := os.readlink(link)).startswith(str(folder))]


def test_an_object_over_several_lines_says_how_rows_stand(tmp_path) -> None:
    row = json.dumps({"timestamp": 0, "input_length": 5, "output_length": 1}, indent=2)
    with pytest.raises(TraceError, match=r"'timestamp', 'input_length', .* one a line, or in one"):
        read(tmp_path, row)
    with pytest.raises(TraceError, match=r"is not JSON: Extra data: .* stand one a line"):
        read(tmp_path, row + "\n" + row)
    result = json.dumps({"input_lens": [5], "output_lens": [1]}, indent=2)
    assert lengths(read(tmp_path, result)) == [(0, 5, 1)]
