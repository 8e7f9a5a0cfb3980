"""`perfuse`: an LLM inference cluster whose hardware is a parameter."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import certs, chaos, faults, machines, model_command, rolling, serve_options
from cluster.cli.console import clear_errors, console, overrides, warn
from cluster.cli.options import Address, Attach, RecordRouting, Scenario, Set, World

app = typer.Typer(
    help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)

app.add_typer(chaos.app, name="chaos")
app.add_typer(faults.app, name="faults")
app.command()(certs.certs)
app.command()(model_command.model)
app.command()(rolling.rolling)
app.command()(machines.up)
app.command()(machines.status)
app.command()(machines.scale)
app.command()(machines.down)


@app.callback()
def _ended_by_signal() -> None:
    """SIGTERM unwinds as Ctrl-C does: processes, sockets and files go."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


@app.command()
def demo(
    scenario: Scenario = "demo",
    out: Annotated[Path, typer.Option(help="folder for summary.json")] = Path("out/demo"),
    set_: Set = None,
) -> None:
    """Ask 100 questions of the default cluster, live and in virtual time, and compare."""
    from cluster.cli.demo import run_demo

    with clear_errors():
        holds = run_demo(scenario, overrides(set_ or ()), out)
    raise typer.Exit(0 if holds else 1)


@app.command()
def run(
    scenario: Scenario,
    world: World = None,
    set_: Set = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="write answers and figures here", show_default=False, dir_okay=False
        ),
    ] = None,
    record_routing: RecordRouting = None,
    attach: Attach = None,
    address: Address = None,
) -> None:
    """Run a scenario's workload and show what its users would have seen."""
    from cluster.cli import attached
    from cluster.cli.run import run_scenario

    with clear_errors():
        changes = overrides(set_ or ())
        if attach is not None:
            attached.check_alone(attach, {"--world": world, "--record-routing": record_routing})
            changes["cluster.world"] = "ray"
            run_scenario(scenario, changes, json_file, attached.joined(attach, address))
            return
        attached.check_attached(address)
        if world is not None:
            changes["cluster.world"] = world
        run_scenario(scenario, changes, json_file, routing_file=record_routing)


@app.command()
def serve(
    scenario: serve_options.Scenario = None,
    model: serve_options.Model = None,
    host: serve_options.Host = None,
    port: serve_options.Port = 8000,
    allowed_origins: serve_options.AllowedOrigins = None,
    admin_key: serve_options.AdminKey = "",
    served_model_name: serve_options.Key[str] = None,
    dtype: serve_options.Key[str] = None,
    quantization: serve_options.Key[str] = None,
    kv_cache_dtype: serve_options.Key[str] = None,
    max_model_len: serve_options.Key[int] = None,
    max_num_seqs: serve_options.Key[int] = None,
    max_num_batched_tokens: serve_options.Key[int] = None,
    block_size: serve_options.Key[int] = None,
    gpu_memory_utilization: serve_options.Key[float] = None,
    num_gpu_blocks_override: serve_options.Key[int] = None,
    enable_prefix_caching: serve_options.Key[bool] = None,
    seed: serve_options.Key[int] = None,
    world: serve_options.World = None,
    emulation: serve_options.Emulation = None,
    dilation: serve_options.Dilation = None,
    set_: Set = None,
    attach: Attach = None,
    address: Address = None,
) -> None:
    """Serve an OpenAI-compatible endpoint: one model from one process, or a scenario's cluster."""
    from cluster.cli.attached import serve_anywhere
    from cluster.gateway.settings import GatewaySettings

    with clear_errors():
        changes = serve_options.changed_keys(
            overrides(set_ or ()),
            model=model, served_model_name=served_model_name, dtype=dtype,
            quantization=quantization, kv_cache_dtype=kv_cache_dtype,
            max_model_len=max_model_len, max_num_seqs=max_num_seqs, block_size=block_size,
            max_num_batched_tokens=max_num_batched_tokens, seed=seed, world=world,
            gpu_memory_utilization=gpu_memory_utilization,
            num_gpu_blocks_override=num_gpu_blocks_override,
            enable_prefix_caching=enable_prefix_caching, emulation=emulation, dilation=dilation,
        )  # fmt: skip
        origins = serve_options.origins(allowed_origins or ())
        settings = GatewaySettings(allowed_origins=origins, admin_key=admin_key)
        names = scenario, "server" if model else "demo"
        serve_anywhere((attach, address, host, port), names, changes, settings)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="what to ask")],
    scenario: Annotated[str, typer.Option(help="a scenario file or shipped name")] = "demo",
    store: Annotated[
        str | None,
        typer.Option(
            help="vector store to retrieve from; left out, the scenario's first", show_default=False
        ),
    ] = None,
    retrieval: Annotated[bool, typer.Option(help="look for passages first")] = True,
    max_tokens: Annotated[int, typer.Option(help="longest answer")] = 64,
    url: Annotated[
        str | None,
        typer.Option(
            help="ask this running endpoint instead of a virtual cluster", show_default=False
        ),
    ] = None,
    set_: Set = None,
) -> None:
    """Ask one question and show the answer, its passages and where the time went."""
    from cluster.cli.ask import ask_endpoint, ask_virtual

    with clear_errors():
        if url is not None:
            ask_endpoint(url, question, store, retrieval, max_tokens)
        else:
            ask_virtual(scenario, overrides(set_ or ()), question, store, retrieval, max_tokens)


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="folder of text files, or one file")],
    out: Annotated[
        Path | None, typer.Option(help="index folder; left out, FOLDER.index", show_default=False)
    ] = None,
    embedder: Annotated[str, typer.Option(help="hashing or minilm")] = "hashing",
) -> None:
    """Split, embed and index a folder of text for retrieval."""
    from rich.progress import Progress

    from cluster.cli.index import index_folder
    from cluster.retrieval.collection import passed_over

    for path in passed_over(folder):
        warn(f"{path}: is no file (a pipe, or a link to nothing): passed over")
    with clear_errors(), Progress(console=console) as progress:
        task = progress.add_task("embedding passages", total=None)
        made = index_folder(
            folder,
            out,
            embedder,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(
        f"{made.num_passages:,} passages of {made.num_files} files in {made.out} "
        f"({made.embedder}, {made.dim} values, {made.vector_bytes / 1e6:.1f} MB)"
    )


@app.command()
def show(
    scenario: Annotated[
        str,
        typer.Argument(
            help="a scenario file, the name of a shipped one, of a shipped link or model, or a "
            "model's folder"
        ),
    ],
    set_: Set = None,
) -> None:
    """Draw a scenario's cluster: nodes, tiers, links, and what fits where. Of a link: time and rate
    by message size. Of a model's folder, or its config.json: what it asks of machines.
    """
    from cluster.cli.show_what import picture

    with clear_errors():
        console.print(picture(scenario, overrides(set_ or ())))


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(help="checkpoint folder")],
    ids: Annotated[
        Path,
        typer.Option(
            help="token ids: JSON, or numbers; one prompt a line", exists=True, dir_okay=False
        ),
    ],
    max_tokens: Annotated[int, typer.Option(help="tokens to generate")] = 16,
    logits: Annotated[
        Path | None, typer.Option(help="write each token's logits here (.npy)", show_default=False)
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(help="through a cluster with so many expert shards", show_default=False),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="through this scenario's cluster", show_default=False)
    ] = None,
    ignore_eos: Annotated[bool, typer.Option(help="go on past end tokens")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="write token ids here (JSON) instead of printing", show_default=False),
    ] = None,
) -> None:
    """Token ids and logits for any checkpoint folder, in one process or through a cluster."""
    from cluster.cli.generate import generate_ids

    with clear_errors():
        generate_ids(folder, ids, max_tokens, logits, shards, scenario, ignore_eos, out)


if __name__ == "__main__":
    app()
