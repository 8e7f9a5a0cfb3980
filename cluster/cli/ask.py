"""`perfuse ask "…"`: one question, its answer, the passages it came from, and where the time
went.
"""

from rich.table import Table

from cluster.cli.console import console
from cluster.reports.summary import phases
from cluster.reports.tables import PHASE_NAMES, duration
from cluster.workload.build import TimedRequest, Workload
from cluster.workload.driver import Answer, Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.errors import from_body
from workers.request import Request, Retrieval, SamplingParams


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
    console.print(f"[bold]{answer.text.strip()}[/]")
    for passage in answer.passages:
        console.print(f"  [dim]{passage}[/]")
    table = Table(title="where the time went (projection)", title_justify="left", show_header=False)
    for phase, microseconds in phases([answer]).items():
        table.add_row(PHASE_NAMES[phase], duration(microseconds))
    table.add_section()
    table.add_row("end to end", duration(answer.e2e_ns / 1e3))
    console.print(table)


def ask_endpoint(url: str, question: str, store: str | None, max_tokens: int) -> None:
    """Ask a running endpoint, as any OpenAI client would."""
    import openai

    client = openai.OpenAI(base_url=url.rstrip("/").removesuffix("/v1") + "/v1", api_key="none")
    extra = {"retrieval": {"store": store}} if store else {}
    try:
        model = client.models.list().data[0].id
        stream = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=max_tokens,
            stream=True,
            extra_body=extra,
        )
        for chunk in stream:
            if chunk.choices:
                console.print(chunk.choices[0].delta.content or "", end="")
        console.print()
    except openai.OpenAIError as error:
        raise ValueError(f"{url} did not answer: {error}") from error
