"""An experiment as one HTML file that needs nothing else: pictures are inside, no script runs."""

from collections.abc import Iterable
from html import escape

from cluster.chaos.experiments.charts import time_line
from cluster.chaos.experiments.phases import Outcome
from cluster.chaos.experiments.verdict import figures, last_line, remarks, row

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:1.8rem}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd}
th{text-align:left;font-weight:600}td+td,th+th{text-align:right}
.holds{color:#1e8449;font-weight:600}.fails{color:#c0392b;font-weight:600}
.verdict{padding:.6rem .9rem;border-left:5px solid;background:#f6f6f6}
.tick,.lane{font-size:11px;fill:#444}.title{font-size:13px;font-weight:600;fill:#222}
svg{display:block;margin:.6rem 0}dt{font-weight:600}dd{margin:0 0 .5rem}
"""


def page(outcome: Outcome) -> str:
    """The whole file."""
    experiment = outcome.experiment
    kind = "holds" if outcome.holds else "fails"
    said = {
        "Expected, before it ever ran": experiment.expects,
        "What came out": experiment.came_out,
    }
    told = "".join(
        f"<dt>{title}</dt><dd>{escape(text.strip())}</dd>" for title, text in said.items() if text
    )
    hashes = ", ".join(
        f"{name} {phase.trace_hash}" for name, phase in outcome.phases.items() if phase.trace_hash
    )
    parts = (
        f"<h1>{escape(outcome.name)}</h1><p>{escape(experiment.about.strip())}</p>",
        f'<p class="verdict {kind}">{escape(last_line(outcome))}</p>',
        f"<dl>{told}</dl>",
        "<h2>Hypothesis</h2>", _verdicts(outcome),
        *(f'<p class="fails">{escape(line)}</p>' for line in remarks(outcome)),
        "<h2>Over emulated time</h2>", time_line(outcome.phases),
        "<h2>Each phase</h2>", _figures(outcome),
        "<p>Times are emulated: projections from specifications of devices and links, the same in "
        f"each run. Every answer was compared with the reference. Traces: {hashes}.</p>",
    )  # fmt: skip
    title = escape(f"Perfuse: {outcome.name}")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _verdicts(outcome: Outcome) -> str:
    rows = [_row(("what should hold", "seen", "baseline", "bound", "holds"), "th")]
    for claim, seen, base, bound, holds in map(row, outcome.verdicts):
        word = '<span class="holds">yes</span>' if holds else '<span class="fails">no</span>'
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (claim, seen, base, bound))
        rows.append(f"<tr>{cells}<td>{word}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _figures(outcome: Outcome) -> str:
    rows = [_row(("measure", *outcome.phases), "th")]
    rows += [_row((name, *values), "td") for name, values in figures(outcome)]
    return f"<table>{''.join(rows)}</table>"


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
