"""ELECTRA: a generator fills masked tokens in, a discriminator finds those that it filled in.

``electra-base`` is both, as they are pre-trained together. The discriminator is BERT's encoder of
the same size, 108,891,648 parameters; the generator has a third of its features behind embeddings
of full size, 33,511,168. Their code shares one table of embeddings, of 23,440,896 parameters; here
each has its own. What the discriminator reads is given (a sample is tokens, which sentence each is
of, the positions of masked ones, and the tokens filled in), for no gradient goes through sampling.
``electra-base-discriminator`` is tuned to mark the span of an answer.
"""

from planner.build import BlockBuilder, Row, Value
from planner.layer import MODEL_INPUT
from planner.model import ModelGraph
from planner.models.bert import MASKED_PERCENT, POSITIONS, VOCAB, block, embed

TOKENS = 128
"""Of a sample, unless it is said."""
FEATURES, HEADS, BLOCKS, DROPOUT = 768, 12, 12, 10
GENERATOR_FEATURES, GENERATOR_HEADS = 256, 4
ANSWERS = 2
"""Logits of a token: filled in or not, first or last of an answer."""
SOURCE = "Clark, Luong, Le and Manning, ICLR 2020, table 6; github.com/google-research/electra"
NAMES = ("electra-base", "electra-base-discriminator")


def most_tokens(name: str) -> int:
    """Return the most tokens that a sample may have."""
    return POSITIONS


def build(name: str, tokens: int = TOKENS) -> ModelGraph:
    """Return the pair, or the discriminator alone, for samples of ``tokens`` tokens."""
    table = {"tokens": tokens, "vocab": VOCAB, "positions": POSITIONS, "features": FEATURES}
    is_pair = name == "electra-base"
    masked = -(-tokens * MASKED_PERCENT // 100) if is_pair else 0
    row = Row(((3 if is_pair else 2) * tokens + masked,))
    if is_pair:
        row.add("generator.embed", _narrow, **table)
        size = {"heads": GENERATOR_HEADS, "features": GENERATOR_FEATURES, "dropout": DROPOUT}
        row.add("generator.block", block, count=BLOCKS, **size)
        row.add("generator.heads", _filled, tokens=tokens, masked=masked)
    row.add("embed", _given, masked=masked, is_pair=int(is_pair), **table)
    row.add("block", block, count=BLOCKS, heads=HEADS, features=FEATURES, dropout=DROPOUT)
    row.add("head", _marked if is_pair else _answered)
    return ModelGraph(
        name=name,
        blocks=tuple(row.blocks),
        record_shape=row.input_shape,
        classes=ANSWERS,
        other_heads=("generator.heads.tokens",) if is_pair else (),
        source=SOURCE,
    )


def _narrow(b: BlockBuilder, x: Value, **table: int) -> Value:
    y = embed(b, x, dropout=DROPOUT, **table)
    return b.layer("project", "linear", y, features=GENERATOR_FEATURES)


def _filled(b: BlockBuilder, x: Value, *, tokens: int, masked: int) -> Value:
    given = Value(MODEL_INPUT, (3 * tokens + masked,))
    y = b.layer("masked", "pick_tokens", x, given, tokens=masked, first=2 * tokens)
    y = b.layer("transform", "linear", y, features=FEATURES)
    y = b.layer("norm", "layer_norm", b.layer("gelu", "gelu", y))
    return b.tied("tokens", "generator.embed.tokens", y, vocab=VOCAB, bias=1)


def _given(b: BlockBuilder, x: Value, *, masked: int, is_pair: int, **table: int) -> Value:
    tokens = table["tokens"]
    if is_pair:
        x = Value(MODEL_INPUT, (3 * tokens + masked,))
    return embed(b, x, dropout=DROPOUT, tied=0, first=is_pair * (2 * tokens + masked), **table)


def _marked(b: BlockBuilder, x: Value) -> Value:
    y = b.layer("gelu", "gelu", b.layer("transform", "linear", x, features=FEATURES))
    return b.layer("output", "linear", y, features=ANSWERS)


def _answered(b: BlockBuilder, x: Value) -> Value:
    return b.layer("output", "linear", x, features=ANSWERS)
