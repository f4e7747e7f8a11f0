"""``models``: the built-in models and their facts."""

from typing import Annotated

import typer

from foreplan.commands.options import Json
from foreplan.console import out, show_json, table

app = typer.Typer(help="The built-in models.", no_args_is_help=True)


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the built-in models."""
    import foreplan
    from hwprofiles.units import format_flop
    from planner.model import load_model

    if json:
        show_json(foreplan.models())
        return
    rows = []
    for name in foreplan.models():
        model = load_model(name)
        flop = format_flop(model.flop("forward"))
        rows.append((name, f"{model.parameter_count:,}", flop, str(len(model.layers))))
    table(("model", "parameters", "forward, a sample", "layers"), rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A built-in model.")],
    batch: Annotated[int, typer.Option(min=1, help="Samples.")] = 1,
    json: Json = False,
) -> None:
    """Show layers, parameters and FLOP (multiply-add = 2)."""
    from hwprofiles.units import format_bytes, format_flop
    from planner.model import load_model

    model = load_model(name)
    phases = ("forward", "input_grad", "weight_grad")
    flop = {phase: model.flop(phase, batch) for phase in phases}
    if json:
        facts = {
            "name": model.name,
            "params": model.parameter_count,
            "params_bytes": 4 * model.parameter_count,
            "forward_flop": flop["forward"],
            "backward_flop": flop["input_grad"] + flop["weight_grad"],
            "ops": [
                {"name": x.name, "kind": x.kind, "out_shape": x.out_shape} for x in model.layers
            ],
        }
        show_json(facts)
        return
    rows = [
        (
            layer.name,
            layer.kind,
            "x".join(map(str, layer.out_shape)),
            f"{layer.parameter_count:,}",
            format_flop(layer.call("forward", batch, "float32").flop),
        )
        for layer in model.layers
    ]
    table(("layer", "kind", "output", "parameters", "forward"), rows)
    out()
    out(
        f"{model.parameter_count:,} parameters ({format_bytes(4 * model.parameter_count)} in"
        f" float32); {batch} samples: forward {format_flop(flop['forward'])}, input gradients"
        f" {format_flop(flop['input_grad'])}, weight gradients {format_flop(flop['weight_grad'])}"
        " (multiply-add = 2 FLOP)"
    )
    out(f"source: {model.source}")
