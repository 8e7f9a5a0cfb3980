"""Are the answers right? `python -m benchmarks.answers [--json FILE]`.

All shipped questions through a whole cluster, with retrieval and without: the model has never seen
the devices, so without their cards it can only guess.
"""

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, arguments, report, wide_console
from benchmarks.runs import NUM_QUESTIONS, demo, questions, run_in_virtual
from cluster.workload.build import Workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from configs.perfuse_tiny.cards import ATTRIBUTES, UNKNOWN

WITH_BAR, WITHOUT_BAR = 95, 10  # % exact: at least, at most
SHOWN_MAX = 5
NO_RETRIEVAL: dict[str, object] = {"workload.prompts.questions.retrieval": None}


def percent(answers: Sequence[Answer]) -> float:
    """How many are exact, to the character."""
    return 100 * sum(answer.is_exact for answer in answers) / len(answers)


def kind(question: str, expected: str | None) -> str:
    """The attribute that is asked for, or that no card knows it."""
    if expected == UNKNOWN:
        return "unanswerable"
    return next((a.name for a in ATTRIBUTES if f" {a.name} " in question), "other")


def by_kind(workload: Workload, told: Sequence[Answer], untold: Sequence[Answer]) -> Table:
    """Exact answers of each kind of question."""
    kinds = [kind(r.request.messages[-1]["content"], r.expected_answer) for r in workload.requests]
    totals = Counter(kinds)
    table = Table("question", "count", "exact with retrieval", "without")
    exact_told = Counter(k for k, a in zip(kinds, told, strict=True) if a.is_exact)
    exact_untold = Counter(k for k, a in zip(kinds, untold, strict=True) if a.is_exact)
    for name in sorted(totals):
        table.add_row(name, *(str(c[name]) for c in (totals, exact_told, exact_untold)))
    return table


def show_wrong(workload: Workload, answers: Sequence[Answer], console: Console) -> None:
    """The first wrong answers, with what the model had before it."""
    wrong = [pair for pair in zip(workload.requests, answers, strict=True) if not pair[1].is_exact]
    for timed, answer in wrong[:SHOWN_MAX]:
        question = timed.request.messages[-1]["content"]
        said = answer.error or repr(answer.text)
        text = f"wrong: {question} {said} for {answer.expected!r}"
        for line in (text, *answer.passages):
            console.print(f"    {line}" if line != text else line, markup=False, highlight=False)


def ask(retrieval: bool) -> tuple[Workload, list[Answer]]:
    blueprint = Blueprint.draw(demo(NUM_QUESTIONS, {} if retrieval else NO_RETRIEVAL))
    workload = questions(blueprint)
    what = "with retrieval" if retrieval else "without retrieval"
    return workload, run_in_virtual(blueprint, workload, what).answers


def main() -> int:
    options = arguments("Exact answers on the shipped questions.").parse_args()
    console = wide_console()
    workload, told = ask(retrieval=True)
    _, untold = ask(retrieval=False)
    console.print(by_kind(workload, told, untold))
    show_wrong(workload, told, console)
    how = f"measured: {len(told)} questions through the virtual demo cluster"
    right, guessed = percent(told), percent(untold)
    rows = [
        Row(
            "exact answers with retrieval",
            right,
            "%",
            f">= {WITH_BAR} %",
            right >= WITH_BAR,
            f"{how}, top-3 passages",
        ),
        Row(
            "exact answers without retrieval",
            guessed,
            "%",
            f"<= {WITHOUT_BAR} %",
            guessed <= WITHOUT_BAR,
            f"{how}, no passage",
        ),
    ]
    return report(rows, options.json, "Answers of perfuse-tiny")


if __name__ == "__main__":
    sys.exit(main())
