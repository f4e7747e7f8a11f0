"""The built-in models as a page: parameters, features, work and source of each.

``python -m planner.catalogue > docs/models.md`` writes the page anew; a test holds it fresh.
"""

import sys

from hwprofiles.markdown import table
from hwprofiles.units import format_bytes, format_flop
from planner.burden import Counting, burden, countings
from planner.model import load_model, model_names

COMMAND = "python -m planner.catalogue > docs/models.md"
IMAGES, EPOCHS = 1.2e6, 100
"""The training that the 2017 talk calls one exaFLOP."""
INTRODUCTION = f"""# Models

Every built-in model, for one sample: an image, or a text of as many tokens as the name says after a
colon, else 1024 of GPT-2, 128 of BERT, 64 bytes of `gpt-nano` and `lstm-nano`, and 31 of each
language of `gnmt`. A table that several layers use is counted once. *Trained* counts parameters
that training changes; *parameters* adds the running moments of batch normalisation, in float32.
*Features* are the outputs in float32, those written in place left out; *multiply-adds* count a
fused multiply-add once; both as convnet-burden counts (Albanie, github.com/albanie/convnet-burden).
*Forward* and *backward* are FLOP of the op calls that a step is planned from, multiply-add = 2.
`foreplan models show NAME` lists the layers.

Written by `{COMMAND}`."""


def page() -> str:
    """Return the page in Markdown."""
    models = [load_model(name) for name in model_names()]
    burdens = [burden(model, 1) for model in models]
    facts = [
        (
            model.name,
            f"{model.parameter_count:,}",
            format_bytes(found.parameter_bytes),
            format_bytes(found.feature_bytes),
            f"{found.multiply_adds:,}",
            format_flop(found.forward_flop),
            format_flop(found.backward_flop),
            str(len(model.layers)),
        )
        for model, found in zip(models, burdens, strict=True)
    ]
    head = ["model", "trained", "parameters", "features", "multiply-adds"]
    head += ["forward", "backward", "layers"]
    ways = countings(burdens[0], IMAGES, EPOCHS)
    claims = [
        (
            model.name,
            *(f"{way.flop / 1e18:.2f}" for way in countings(found, IMAGES, EPOCHS)),
        )
        for model, found in zip(models, burdens, strict=True)
        if not model.reads_tokens
    ]
    return "\n".join(
        [
            INTRODUCTION,
            "",
            *table(head, facts),
            "",
            "## One exaFLOP",
            "",
            "Is a training on 1.2 million images for 100 epochs about one exaFLOP? EFLOP by way of"
            " counting:",
            "",
            *table(["model", *map(_label, ways)], claims),
            "",
            "## Sources",
            "",
            *(f"- `{model.name}`: {model.source}" for model in models),
        ]
    )


def _label(way: Counting) -> str:
    passes = "forward and backward" if way.backward else "forward"
    return f"multiply-add = {way.multiply_add}, {passes}"


if __name__ == "__main__":
    sys.stdout.write(page() + "\n")
