"""The tour breaks what it says, its streams go on, and what differs from the reference is told."""

import pytest
from typer.testing import CliRunner

from cluster.chaos.experiments.measures import Phase
from cluster.chaos.tour import ACTS, READERS, TOKENS, Act, Heard, Tour, faults_of
from cluster.cli.main import app


def test_every_act_is_shown_and_no_token_is_another() -> None:
    acts: list[tuple[int, Act]] = []
    heard: list[Heard] = []
    phase: Phase = Tour(lambda number, act: acts.append((number, act)), heard.append, 0.0).run()
    assert acts == [*enumerate(ACTS, 1)]
    assert [one.since > 0 for one in heard] == [True] * len(ACTS)
    # The router is away for 1 ms, and nobody hears anything for at least as long.
    assert heard[0].gap_ns < 200_000 and heard[-1].gap_ns > 1_000_000
    assert sum(len(one.tokens) for one in phase.told) == READERS * TOKENS
    assert not any(faults_of(phase).values())
    phase.told[0].tokens[5] ^= 1
    assert faults_of(phase)["wrong tokens"] == 1


def test_the_command_exits_with_1_where_a_token_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["chaos", "tour", "--pause", "0"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0 and "every answer is as it should be" in done.output
    monkeypatch.setattr("cluster.chaos.tour.wrong_tokens", lambda phase: 1)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1 and "something was lost" in done.output
