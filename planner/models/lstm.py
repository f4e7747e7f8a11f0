"""A small language model of bytes that remembers by LSTMs, as ``gpt-nano`` attends.

Two layers of equal size between a table of bytes and logits of their own, for the next byte of each
(Graves, arXiv:1308.0850, 2013, without its skips). 99,072 parameters.
"""

from planner.build import BlockBuilder, Row, Value
from planner.model import ModelGraph

NAMES = ("lstm-nano",)
VOCAB, FEATURES, LAYERS = 256, 64, 2
TOKENS = 64
"""Bytes of a sample, unless it is said: those of ``gpt-nano``."""
MOST_TOKENS = 1024
"""As of GPT-2: a longer chain is gone back through in parts, which is not built."""


def most_tokens(name: str) -> int:
    """Return the most tokens that a sample may have."""
    return MOST_TOKENS


def build(name: str, tokens: int = TOKENS) -> ModelGraph:
    """Return the network for samples of ``tokens`` bytes."""
    row = Row((tokens,))
    row.add("embed", _embed)
    row.add("memory", _memory, count=LAYERS)
    row.add("logits", _logits)
    return ModelGraph(
        name=name,
        blocks=tuple(row.blocks),
        record_shape=(tokens,),
        classes=VOCAB,
        next_token=True,
        source="Hochreiter and Schmidhuber, Neural Computation 9(8), 1997; Graves, 2013, section 3",
    )


def _embed(b: BlockBuilder, x: Value) -> Value:
    return b.layer("tokens", "embedding", x, vocab=VOCAB, features=FEATURES)


def _memory(b: BlockBuilder, x: Value) -> Value:
    return b.layer("lstm", "lstm", x, features=FEATURES)


def _logits(b: BlockBuilder, x: Value) -> Value:
    return b.layer("tokens", "linear", x, features=VOCAB)
