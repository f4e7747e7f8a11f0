"""``bench``: rates of the engines and of the search, printed with what was counted."""

from typing import Annotated

import typer

from foreplan.commands.options import Json
from foreplan.console import show_json, table

app = typer.Typer(help="How fast the engines and the search are; without a command, both.")


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Run every benchmark, unless one is named."""
    if context.invoked_subcommand is None:
        engine()
        search()


@app.command()
def engine(
    tasks: Annotated[int, typer.Option(min=100, help="About how many tasks to simulate.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 5,
    json: Json = False,
) -> None:
    """Simulate data-parallel steps on both engines; print tasks a second."""
    from foreplan.benchmarks import engine_rates

    rates = engine_rates(tasks, repeats)
    if json:
        show_json(rates)
        return
    rows = [(r["graph"], r["engine"], f"{r['tasks']:,}", f"{r['tasks_per_s']:,.0f}") for r in rates]
    table(("graph", "engine", "tasks", "tasks/s"), rows)


@app.command()
def search(
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 5,
    json: Json = False,
) -> None:
    """Price all candidates of a search; print candidates a second."""
    from foreplan.benchmarks import search_rate

    rate = search_rate(repeats)
    if json:
        show_json(rate)
        return
    table(("", ""), [(key, f"{value:,.0f}") for key, value in rate.items()])
