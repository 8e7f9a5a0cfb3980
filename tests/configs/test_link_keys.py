"""What a link costs each message: which values are refused, each by its key and what is right."""

import pytest

from configs.schema import ScenarioError, dump_scenario, load_scenario

REFUSED: list[tuple[dict[str, object], str]] = [
    ({"overhead": "-1 ns"}, ".overhead: '-1 ns' is below zero: a duration is zero or more"),
    ({"overhead": 5}, ".overhead: 5 has no unit: a duration needs one of ns, us"),
    ({"overhead": "2 s"}, ".overhead: 2 s is too long: it is paid by each message or segment, and"),
    ({"startup": "-2 us"}, ".startup: '-2 us' is below zero: a duration is zero or more"),
    ({"startup": "inf us"}, ".startup: 'inf us' is no duration: write \"2 us\""),
    ({"startup": float("inf")}, ".startup: inf has no unit: a duration needs one of"),
    ({"startup": "2 min"}, ".startup: 2 min is too long: it is paid by each message"),
    ({"segment": "0 KiB"}, ".segment: 0 B is no segment: it is at least 256 B, for example"),
    ({"segment": "-4 KiB"}, ".segment: '-4 KiB' is below zero: a size is zero or more"),
    ({"segment": "255 B"}, ".segment: 255 B is no segment: it is at least 256 B, for example"),
    ({"segment": "many"}, ".segment: 'many' is no size: write \"80 GB\""),
    ({"segment": "4 KiB"}, ": segment is 4 KiB and overhead 0 ns: segments that cost nothing"),
    ({"overhead": "1 us", "max_segments": 4}, ": max_segments is 4 and segment is missing:"),
    ({"max_segments": 0}, ".max_segments: is 0: input should be greater than or equal to 1"),
    ({"max_segments": 1.5}, ".max_segments: is 1.5: input should be a valid integer"),
    ({"message_rate": "0 msg/s"}, ".message_rate: '0 msg/s' is too little: a message rate is at"),
    ({"message_rate": "-1 msg/s"}, ".message_rate: '-1 msg/s' is below zero: a message rate is at"),
    ({"message_rate": "nan msg/s"}, ".message_rate: 'nan msg/s' is no message rate: write"),
    ({"message_rate": "5 MHz"}, ".message_rate: '5 MHz' has unit 'MHz': a message rate takes one"),
    (
        {"message_rate": "2 Mmsg/s", "overhead": "1 us"},
        ": message_rate is 2 Mmsg/s and overhead 1 us: with that no more than 1,000,000 msg/s pass",
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_what_no_link_does_is_refused(keys: dict[str, object], message: str) -> None:
    changes = {f"cluster.nodes.decode.link.{key}": value for key, value in keys.items()}
    with pytest.raises(ScenarioError) as caught:
        load_scenario("demo", changes)
    assert any(f"cluster.nodes.decode.link{message}" in line for line in caught.value.problems), (
        caught.value.problems
    )


def test_what_only_just_agrees_is_taken(tmp_path) -> None:
    """As many messages as the overhead lets pass; the shortest segment; and it is written back."""
    keys = {
        "overhead": "1 us", "message_rate": "1 Mmsg/s", "segment": "256 B", "max_segments": 1,
        "startup": "1 s",
    }  # fmt: skip
    changes = {f"cluster.nodes.decode.link.{key}": value for key, value in keys.items()}
    scenario = load_scenario("demo", changes)
    link = scenario.cluster.nodes["decode"].link
    assert (link.overhead_ns, link.messages_per_s) == (1_000, 1_000_000)
    assert (link.segment_bytes, link.max_segments, link.startup_ns) == (256, 1, 10**9)
    path = tmp_path / "again.yaml"
    path.write_text(dump_scenario(scenario), encoding="utf-8")
    assert load_scenario(path) == scenario
