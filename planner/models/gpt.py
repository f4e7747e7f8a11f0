"""Decoders of text: GPT-2 in its published sizes, and a small one that reads bytes.

Pre-norm blocks, learned positions, and one table for tokens and logits (tied), which is counted
once. Parameters are those of the published checkpoints: 124,439,808 of ``gpt-2`` (which the paper
gives as 117 M), 354,823,168, 774,030,080 and 1,557,611,200. GPT-2's dropout of 0.1 is applied to
embeddings and residuals; that of attention probabilities is left out. ``gpt-nano`` has none.
"""

from dataclasses import dataclass

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

GPT_2 = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019, table 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What tells one network of the family from another."""

    blocks: int
    features: int
    heads: int
    positions: int = 1024
    """Most tokens of a sample, and those of one unless it is said."""
    vocab: int = 50_257
    dropout: int = 10
    """Per cent."""
    source: str = GPT_2


VARIANTS = {
    "gpt-nano": Variant(
        blocks=2,
        features=64,
        heads=4,
        positions=64,
        vocab=256,
        dropout=0,
        source=f"GPT-2's blocks ({GPT_2}), as small as seconds on two cores allow",
    ),
    "gpt-2": Variant(blocks=12, features=768, heads=12),
    "gpt-2-medium": Variant(blocks=24, features=1024, heads=16),
    "gpt-2-large": Variant(blocks=36, features=1280, heads=20),
    "gpt-2-xl": Variant(blocks=48, features=1600, heads=25),
}
NAMES = tuple(VARIANTS)


def most_tokens(name: str) -> int:
    """Return the most tokens that a sample may have."""
    return VARIANTS[name].positions


def build(name: str, tokens: int = 0) -> ModelGraph:
    """Return one network of the family, for samples of ``tokens`` tokens, or as many as it can."""
    return decoder(name, VARIANTS[name], tokens or VARIANTS[name].positions)


def decoder(name: str, variant: Variant, tokens: int) -> ModelGraph:
    """Return a decoder of any size."""
    shape = {"features": variant.features, "dropout": variant.dropout}
    row = Row((tokens,))
    row.add("embed", _embed, vocab=variant.vocab, positions=variant.positions, **shape)
    row.add("block", _block, count=variant.blocks, heads=variant.heads, **shape)
    row.add("logits", _logits, vocab=variant.vocab)
    return ModelGraph(
        name=name,
        blocks=tuple(row.blocks),
        record_shape=(tokens,),
        classes=variant.vocab,
        next_token=True,
        source=variant.source,
    )


def _embed(
    b: BlockBuilder, x: Value, *, vocab: int, positions: int, features: int, dropout: int
) -> Value:
    x = b.layer("tokens", "embedding", x, vocab=vocab, features=features, tied=1)
    x = b.layer("positions", "positions", x, positions=positions)
    return b.dropout("dropout", x, dropout)


def _block(b: BlockBuilder, x: Value, *, heads: int, features: int, dropout: int) -> Value:
    y = b.layer("norm1", "layer_norm", x)
    y = b.dropout("dropout1", b.attention(y, heads, causal=1), dropout)
    x = b.layer("add1", "add", x, y)
    y = b.layer("norm2", "layer_norm", x)
    y = b.dropout("dropout2", b.feed_forward(y, 4 * features), dropout)
    return b.layer("add2", "add", x, y)


def _logits(b: BlockBuilder, x: Value, *, vocab: int) -> Value:
    x = b.layer("norm", "layer_norm", x)
    return b.tied("tokens", "embed.tokens", x, vocab=vocab)
