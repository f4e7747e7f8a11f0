"""GNMT version 2: translation by LSTMs with attention, as NVIDIA's published runs train it.

Four layers of 1,024 features encode, the first in both directions; four decode. What the first of
these gives attends to what the encoder gives, and the context joins the input of the other three.
Layers from the third on are added to their input. One table serves both languages. Source and
target have as many tokens each. 160,634,432 parameters.

Not as there: the scores of attention are products of queries and keys (Luong, Pham and Manning,
EMNLP 2015) where the published network sums ``v tanh(q + k)`` over the features (Bahdanau, Cho and
Bengio, ICLR 2015): about as many FLOP, a thousandth of them all, but what it writes on the way, a
vector of features for every pair of tokens, is left out. So is the smoothing of labels.
"""

from dataclasses import dataclass

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = ("gnmt",)
LAYERS = 4
MOST_TOKENS = 50
"""Longer sentences are not trained on (``--train-max-length``)."""
TOKENS = 31
"""Of a sentence, unless it is said: 25 on average, padded to the longest of a batch, all of which
fall into one of five ranges of 10 (``--batching bucketing``). An epoch has 174 M tokens of both
languages (6 epochs at 21,424 tokens/s took 821 minutes, a hundredth for tests; README of 2019), in
3.5 M pairs (recalled)."""


def most_tokens(name: str) -> int:
    """Return the most tokens that a sentence may have."""
    return MOST_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells one network of the family from another."""

    features: int = 1024
    vocab: int = 32_320
    dropout: int = 20
    """Per cent."""


def build(name: str, tokens: int = TOKENS) -> ModelGraph:
    """Return the network for pairs of sentences of ``tokens`` tokens each."""
    return translator(name, Variant(), tokens)


def translator(name: str, variant: Variant, tokens: int) -> ModelGraph:
    """Return a network of any size."""
    row = Row((2 * tokens,))
    shape = {"features": variant.features, "dropout": variant.dropout}
    row.add("network", _network, tokens=tokens, vocab=variant.vocab, **shape)
    return ModelGraph(
        name=name,
        blocks=tuple(row.blocks),
        record_shape=row.input_shape,
        classes=variant.vocab,
        source="Wu et al., arXiv:1609.08144, 2016; github.com/NVIDIA/DeepLearningExamples,"
        " PyTorch/Translation/GNMT",
    )


def _network(
    b: BlockBuilder, x: Value, *, tokens: int, vocab: int, features: int, dropout: int
) -> Value:
    table = {"vocab": vocab, "features": features, "tokens": tokens}
    source = b.layer("source", "embedding", x, tied=1, **table)
    encoded = _encoded(b, b.dropout("source_dropout", source, dropout), dropout)
    target = b.shared("target", "network.source", x, first=tokens, **table)
    return b.layer("logits", "linear", _decoded(b, target, encoded, dropout), features=vocab)


def _encoded(b: BlockBuilder, x: Value, dropout: int) -> Value:
    both = (_lstm(b, "encoder1", x, x), _lstm(b, "encoder1_back", x, x, reverse=1))
    y = b.dropout("encoder1_dropout", b.layer("encoder1_both", "concat", *both), dropout)
    x = _lstm(b, "encoder2", y, x)
    for number in range(3, LAYERS + 1):
        name = f"encoder{number}"
        y = _lstm(b, name, b.dropout(f"{name}_dropout", x, dropout), x)
        x = b.layer(f"{name}_add", "add", y, x)
    return x


def _decoded(b: BlockBuilder, x: Value, encoded: Value, dropout: int) -> Value:
    x = _lstm(b, "decoder1", x, x)
    queries = b.layer("queries", "linear", x, features=x.shape[1])
    keys = b.layer("keys", "linear", encoded, features=x.shape[1])
    joined = b.layer("attended", "concat", queries, keys, encoded)
    context = b.layer("attention", "attention", joined, heads=1)
    for number in range(2, LAYERS + 1):
        name = f"decoder{number}"
        given = b.dropout(f"{name}_dropout", x, dropout)
        y = _lstm(b, name, b.layer(f"{name}_given", "concat", given, context), x)
        x = b.layer(f"{name}_add", "add", y, x) if number > 2 else y
    return x


def _lstm(b: BlockBuilder, name: str, x: Value, like: Value, **attrs: int) -> Value:
    """Append an LSTM with as many features as ``like`` has."""
    return b.layer(name, "lstm", x, features=like.shape[1], **attrs)
