"""Encoders of text: BERT in its two published sizes, as it is pre-trained.

Both heads are there: masked tokens (a transform, and logits from the table of the embedding, tied,
with biases of their own) and whether one sentence follows the other (pooler and classifier).
Parameters, the table counted once: 110,106,428 of ``bert-base``, of which the encoder with its
pooler has 109,482,240 (the paper's 110 M), and 336,226,108 of ``bert-large`` (335,141,888: 340 M).

A sample is so many tokens, which sentence each is of, and the positions of the masked ones, 15 %
of the tokens rounded up. Published trainings have two phases: ``bert-large:128``, then
``bert-large:512``. Dropout of 0.1 is applied to embeddings and residuals; that of attention
probabilities is left out.
"""

from dataclasses import dataclass

from planner.build import BlockBuilder, Row, Value
from planner.layer import MODEL_INPUT
from planner.model import ModelGraph

VOCAB, SENTENCES, POSITIONS = 30_522, 2, 512
TOKENS = 128
"""Of a sample, unless it is said: phase 1."""
MASKED_PERCENT = 15
SOURCE = "Devlin, Chang, Lee and Toutanova, NAACL 2019, section 3; github.com/google-research/bert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells one network of the family from another."""

    blocks: int
    features: int
    heads: int
    dropout: int = 10
    """Per cent."""


VARIANTS = {
    "bert-base": Variant(blocks=12, features=768, heads=12),
    "bert-large": Variant(blocks=24, features=1024, heads=16),
}
NAMES = tuple(VARIANTS)


def most_tokens(name: str) -> int:
    """Return the most tokens that a sample may have."""
    return POSITIONS


def build(name: str, tokens: int = TOKENS) -> ModelGraph:
    """Return one network of the family, for samples of ``tokens`` tokens."""
    return encoder(name, VARIANTS[name], tokens, VOCAB, POSITIONS)


def encoder(name: str, variant: Variant, tokens: int, vocab: int, positions: int) -> ModelGraph:
    """Return an encoder of any size with both heads."""
    masked = -(-tokens * MASKED_PERCENT // 100)
    shape = {"features": variant.features, "dropout": variant.dropout}
    row = Row((2 * tokens + masked,))
    row.add("embed", embed, tokens=tokens, vocab=vocab, positions=positions, **shape)
    row.add("block", block, count=variant.blocks, heads=variant.heads, **shape)
    row.add("heads", _heads, tokens=tokens, masked=masked, vocab=vocab)
    return ModelGraph(
        name=name,
        blocks=tuple(row.blocks),
        record_shape=row.input_shape,
        classes=vocab,
        other_heads=("heads.sentence",),
        source=SOURCE,
    )


def embed(
    b: BlockBuilder,
    x: Value,
    *,
    features: int,
    dropout: int,
    first: int = 0,
    tied: int = 1,
    **table: int,
) -> Value:
    """Append the sum of three embeddings of ``tokens``, in tables of ``vocab`` and ``positions``.

    ``x`` holds the tokens from ``first`` on; which sentence each is of follows the first of all.
    """
    size = {"features": features, "tokens": table["tokens"]}
    at = {"first": first} if first else {}
    words = b.layer("tokens", "embedding", x, vocab=table["vocab"], tied=tied, **at, **size)
    sentences = b.layer("sentences", "embedding", x, vocab=SENTENCES, first=size["tokens"], **size)
    y = b.layer("add", "add", words, sentences)
    y = b.layer("positions", "positions", y, positions=table["positions"])
    return b.dropout("dropout", b.layer("norm", "layer_norm", y), dropout)


def block(b: BlockBuilder, x: Value, *, heads: int, features: int, dropout: int) -> Value:
    """Append attention and two linear layers, each added to its input and normalised after."""
    y = b.dropout("dropout1", b.attention(x, heads), dropout)
    x = b.layer("norm1", "layer_norm", b.layer("add1", "add", x, y))
    y = b.dropout("dropout2", b.feed_forward(x, 4 * features), dropout)
    return b.layer("norm2", "layer_norm", b.layer("add2", "add", x, y))


def _heads(b: BlockBuilder, x: Value, *, tokens: int, masked: int, vocab: int) -> Value:
    features = x.shape[1]
    pooled = b.layer("pooler", "linear", b.layer("first", "first_token", x), features=features)
    b.layer("sentence", "linear", b.layer("pooled", "tanh", pooled), features=SENTENCES)
    given = Value(MODEL_INPUT, (2 * tokens + masked,))
    y = b.layer("masked", "pick_tokens", x, given, tokens=masked, first=2 * tokens)
    y = b.layer("transform", "linear", y, features=features)
    y = b.layer("norm", "layer_norm", b.layer("gelu", "gelu", y))
    return b.tied("tokens", "embed.tokens", y, vocab=vocab, bias=1)
