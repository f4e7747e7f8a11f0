"""``models``: the built-in models and their facts."""

from typing import TYPE_CHECKING, Annotated

import typer

from foreplan.commands.options import Json, Seq
from foreplan.console import out, show_json, table

if TYPE_CHECKING:
    from planner.burden import Burden, Counting
    from planner.model import ModelGraph

app = typer.Typer(help="The built-in models.", no_args_is_help=True)
EXAFLOP = 1e18
MOST = 1e12
"""Largest training set, and most epochs: nothing endless."""


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
    name: Annotated[str, typer.Argument(help="A built-in model, or a .toml or .onnx file.")],
    batch: Annotated[int, typer.Option(min=1, help="Samples.")] = 1,
    seq: Seq = None,
    samples: Annotated[
        float | None,
        typer.Option(min=1, max=MOST, help="Samples of a training set: count its FLOP."),
    ] = None,
    epochs: Annotated[
        float, typer.Option(min=0, max=MOST, help="Passes over the training set.")
    ] = 1,
    json: Json = False,
) -> None:
    """Show layers, parameters, features and FLOP (multiply-add = 2)."""
    from planner.burden import burden, countings
    from planner.model import load_model, with_tokens

    model = load_model(with_tokens(name, seq))
    found = burden(model, batch)
    training = countings(found, samples, epochs) if samples is not None else ()
    if json:
        show_json(_facts(model, found, training))
        return
    _show_layers(model, batch)
    _show_burden(model, found)
    if training:
        out()
        out(f"training on {samples:,.0f} samples, {epochs:g} epochs:")
        _show_countings(training)


def _facts(
    model: "ModelGraph", found: "Burden", training: "tuple[Counting, ...]"
) -> dict[str, object]:
    facts: dict[str, object] = {
        "name": model.name,
        "source": model.source,
        "samples": found.samples,
        "params": found.parameters,
        "params_bytes": found.parameter_bytes,
        "trained_params": model.parameter_count,
        "feature_bytes": found.feature_bytes,
        "multiply_adds": found.multiply_adds,
        "forward_flop": found.forward_flop,
        "backward_flop": found.backward_flop,
        "blocks": [
            {"name": x.name, "layers": len(x.layers), "count": x.count} for x in model.blocks
        ],
        "ops": [
            {
                "name": x.name,
                "kind": x.kind,
                "inputs": x.inputs,
                "out_shape": x.out_shape,
                "params": x.parameter_count,
                "forward_flop": x.call("forward", found.samples, "float32").flop,
            }
            for x in model.layers
        ],
    }
    if training:
        facts |= {"training_flop": training[-1].flop, "training_countings": training}
    return facts


def _show_layers(model: "ModelGraph", batch: int) -> None:
    from hwprofiles.units import format_flop

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


def _show_burden(model: "ModelGraph", found: "Burden") -> None:
    from hwprofiles.units import format_bytes, format_flop

    moments = f", {found.moments:,} running moments" if found.moments else ""
    out(
        f"{model.parameter_count:,} parameters{moments} ({format_bytes(found.parameter_bytes)} in"
        f" float32); {found.samples} samples: features {format_bytes(found.feature_bytes)},"
        f" {found.multiply_adds:,} multiply-adds forward"
    )
    out(
        f"forward {format_flop(found.forward_flop)}, input gradients"
        f" {format_flop(found.input_grad_flop)}, weight gradients"
        f" {format_flop(found.weight_grad_flop)} (multiply-add = 2 FLOP)"
    )
    out(f"source: {model.source}")


def _show_countings(training: "tuple[Counting, ...]") -> None:
    """Print every way to count, so that a figure of 1 exaFLOP can be told from one that is not."""
    from hwprofiles.units import format_flop

    rows = [
        (
            f"multiply-add = {x.multiply_add}, {'forward and backward' * x.backward or 'forward'}",
            format_flop(x.flop),
            f"{x.flop / EXAFLOP:.2f}",
        )
        for x in training
    ]
    table(("counted as", "total", "of 1 exaFLOP"), rows)
    nearest = min(training, key=lambda x: abs(x.flop / EXAFLOP - 1))
    which = "forward and backward" if nearest.backward else "forward alone"
    out(
        f"a training executes the last, {format_flop(training[-1].flop)}; nearest to 1 exaFLOP is"
        f" multiply-add = {nearest.multiply_add}, {which}"
    )
