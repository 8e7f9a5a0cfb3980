"""`perfuse ask "…"`: one question, its answer, the passages it came from, and where the time
went.
"""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from cluster.api.request import Request, Retrieval
from cluster.cli.console import console
from cluster.reports.summary import phases
from cluster.reports.tables import PHASE_NAMES, duration
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import from_body
from workers.model.sampling_params import SamplingParams


def ask_virtual(
    scenario: str,
    changes: dict[str, object],
    question: str,
    store: str | None,
    retrieval: bool,
    max_tokens: int,
) -> None:
    """Ask a cluster in virtual time: the tokens are real, the times are the emulated hardware's."""
    changes = {**changes, "cluster.world": "virtual"}
    blueprint = Blueprint.draw(load_scenario(scenario, changes))
    stores = tuple(blueprint.scenario.placement.collections)
    if retrieval and store is None:
        if not stores:
            raise ValueError(
                f"scenario {scenario!r} has no vector store: use --no-retrieval, or add one to "
                "placement.collections"
            )
        store = stores[0]
    request = Request(
        request_id="ask",
        model=blueprint.scenario.model.name,
        sampling=SamplingParams(max_tokens=max_tokens),
        messages=({"role": "user", "content": question},),
        retrieval=Retrieval(store) if retrieval and store is not None else None,
    )

    async def job(world: VirtualWorld) -> list[Answer]:
        workload = Workload((TimedRequest(0, request),), concurrency=1)
        return await Driver(world.gateway, world.client).run(workload)

    answer = run_virtual(blueprint, job)[0]
    if answer.error is not None:
        raise from_body(dict(answer.error))
    _show(answer.text, answer.passages)
    _show_times(phases([answer]))


def ask_endpoint(
    url: str, question: str, store: str | None, retrieval: bool, max_tokens: int
) -> None:
    """Ask a running endpoint, as any OpenAI client would; it may be of another make."""
    import openai

    client = openai.OpenAI(base_url=url.rstrip("/").removesuffix("/v1") + "/v1", api_key="none")
    try:
        model = client.models.list().data[0].id
        if retrieval and store is None:
            stores = client.vector_stores.list(order="asc").data  # as in the scenario
            store = stores[0].id if stores else None
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=max_tokens,
            extra_body={"retrieval": {"store": store}} if retrieval and store else {},
        )
    except openai.OpenAIError as error:
        raise ValueError(f"{url} did not answer: {error}") from error
    extra = answer.model_extra or {}
    passages = extra.get("retrieval", {}).get("passages", ())
    _show(answer.choices[0].message.content or "", passages)
    if times_ns := extra.get("times_ns"):
        shown = {phase: spent_ns / 1e3 for phase, spent_ns in times_ns.items()}
        _show_times(shown, "together, without delivery")


def _show(text: str, passages: Sequence[str]) -> None:
    console.print(f"[bold]{escape(text.strip())}[/]")
    for passage in passages:
        console.print(f"  [dim]{escape(passage)}[/]")


def _show_times(phases_us: Mapping[str, float], whole: str = "end to end") -> None:
    table = Table(title="where the time went", title_justify="left", show_header=False)
    for phase, microseconds in phases_us.items():
        table.add_row(PHASE_NAMES.get(phase, phase), duration(microseconds))
    table.add_section()
    table.add_row(whole, duration(sum(phases_us.values())))
    console.print(table)
