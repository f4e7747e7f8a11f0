"""What a model graph must keep, whoever built it: shapes that fit, readers, and logits last.

Every check raises a ``ModelError`` that names the model and the layer.
"""

from math import prod
from typing import TYPE_CHECKING

from hwprofiles.errors import ModelError
from planner.layer import INPUT, MODEL_INPUT, Layer

if TYPE_CHECKING:
    from planner.model import ModelGraph


def check_graph(model: "ModelGraph") -> None:
    """Refuse a graph of layers that cannot be trained on the records it names.

    Raises
    ------
    ModelError
        Saying what does not fit.
    """
    _check_inputs(model)
    _check_record(model)
    _check_logits(model)
    _check_numbers(model)
    _check_ties(model)


def _check_inputs(model: "ModelGraph") -> None:
    """Refuse inputs that are not there, of another shape, and outputs that nobody reads."""
    shapes, unread = dict.fromkeys((INPUT, MODEL_INPUT), model.input_shape), {INPUT}
    for layer in model.layers:
        for name, shape in zip(layer.inputs, layer.in_shapes, strict=True):
            if shapes.get(name) != shape:
                given = f"gives {shapes[name]}" if name in shapes else "does not come before"
                raise ModelError(
                    f"model {model.name!r}: layer {layer.name!r} takes {shape} but {name!r} {given}"
                )
        if layer.name in shapes:
            raise ModelError(f"model {model.name!r}: two layers are called {layer.name!r}")
        shapes[layer.name] = layer.out_shape
        unread = unread.difference(layer.inputs) | {layer.name}
    heads = {model.layers[-1].name, *model.other_heads}
    if unread != heads:
        names = ", ".join(sorted(unread ^ heads))
        raise ModelError(f"model {model.name!r}: nothing reads the output of {names}")


def _check_record(model: "ModelGraph") -> None:
    """Refuse records that neither fill the input nor divide its sides."""
    record, whole = model.record_shape, model.input_shape
    sides = (1,) * (len(whole) - len(record)) + record
    repeats = len(whole) == 3 and not any(a % b for a, b in zip(whole, sides, strict=True))
    if not repeats and prod(record) != prod(whole):
        raise ModelError(
            f"model {model.name!r}: records of {record} do not divide its input of {whole}"
        )


def _check_logits(model: "ModelGraph") -> None:
    """Refuse a last layer that gives no logits, or not one row of them a token."""
    out_shape = model.layers[-1].out_shape
    if out_shape[-1:] != (model.classes,) or len(out_shape) > 2:
        raise ModelError(
            f"model {model.name!r}: the last layer must give ({model.classes},) logits, got"
            f" {out_shape}"
        )
    if model.next_token and out_shape[:-1] != model.record_shape:
        raise ModelError(
            f"model {model.name!r}: predicts the next of {model.record_shape} tokens, so the last"
            f" layer must give {(*model.record_shape, model.classes)} logits, got {out_shape}"
        )


def _check_numbers(model: "ModelGraph") -> None:
    """Refuse floats where numbers are looked up, and numbers where floats are reckoned with."""
    for layer, producers in zip(model.layers, model.producers, strict=True):
        for name, producer in zip(layer.input_names, producers, strict=True):
            are_given = producer < 0 and model.reads_tokens
            if (name in layer.indices) != are_given:
                given, wanted = ("numbers", "floats") if are_given else ("floats", "numbers")
                raise ModelError(
                    f"model {model.name!r}: layer {layer.name!r} ({layer.kind}) takes {wanted} but"
                    f" {layer.inputs[layer.input_names.index(name)]!r} gives {given}"
                )


def _check_ties(model: "ModelGraph") -> None:
    """Refuse a layer whose parameters belong to none, and a table that is tied to none."""
    borrowers, owners = list[Layer](), list[Layer]()
    for layer in model.layers:
        if dict(layer.attrs).get("tied"):
            owners.append(layer)
        if not layer.borrowed:
            continue
        borrowers.append(layer)
        owner = next((x for x in owners if x.name == layer.tied), None)
        if owner is None or dict(owner.parameters) != dict(layer.borrowed):
            raise ModelError(
                f"model {model.name!r}: layer {layer.name!r} needs an embedding with tied = 1"
                f" before it whose table is {dict(layer.borrowed)['w']}, got"
                f" {layer.tied or 'none'!r}"
            )
    if sorted(x.name for x in owners) != sorted(x.tied for x in borrowers):
        raise ModelError(
            f"model {model.name!r}: every embedding with tied = 1 needs one layer that is tied to"
            f" it, got {len(borrowers)} for {len(owners)}"
        )
