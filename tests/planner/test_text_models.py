"""GPT-2 and BERT: published parameters, known formulas of FLOP, texts of any length, ties."""

import json
from dataclasses import replace

import pytest

from hwprofiles.errors import ModelError
from planner.build import BlockBuilder, Value
from planner.burden import Burden, burden
from planner.layer import INPUT
from planner.layers.attention import scores
from planner.model import Block, ModelGraph, load_model, with_tokens
from planner.models import bert, gpt
from planner.steps import record_limits
from tests.planner_cases import tiny_decoder, tiny_encoder

PUBLISHED = {
    # checkpoints of github.com/openai/gpt-2; the table of tokens and logits counted once
    "gpt-2": 124_439_808,
    "gpt-2-medium": 354_823_168,
    "gpt-2-large": 774_030_080,
    "gpt-2-xl": 1_557_611_200,
    # github.com/google-research/bert, uncased, with both heads of pre-training, table counted once
    "bert-base": 110_106_428,
    "bert-large": 336_226_108,
}
ENCODER = {"bert-base": 109_482_240, "bert-large": 335_141_888}
"""Of BERT without the heads and with its pooler, which papers give as 110 M and 340 M."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones_of(name):
    assert load_model(name).parameter_count == PUBLISHED[name]


def test_parameters_of_electra_are_those_of_its_checkpoints():
    """Of google/electra-base-discriminator and -generator, encoders without heads."""
    layers = load_model("electra-base").layers
    generator = [x for x in layers if x.name.startswith(("generator.embed", "generator.block"))]
    discriminator = [x for x in layers if x.name.startswith(("embed", "block"))]
    assert sum(x.parameter_count for x in generator) == 33_511_168
    assert sum(x.parameter_count for x in discriminator) == 108_891_648


@pytest.mark.parametrize("name", ENCODER)
def test_parameters_of_the_encoder_and_pooler_are_the_published_ones_of(name):
    heads = {"heads.sentence", "heads.transform", "heads.norm", "heads.tokens"}
    layers = load_model(name).layers
    assert sum(x.parameter_count for x in layers if x.name not in heads) == ENCODER[name]


def test_parameters_of_gpt_nano_on_paper():
    f, block = 64, 12 * 64**2 + 13 * 64  # four norms of f, biases of 3f + f + 4f + f
    assert load_model("gpt-nano").parameter_count == 256 * f + 64 * f + 2 * block + 2 * f


def test_parameters_of_lstm_nano_on_paper():
    f, layer = 64, 4 * (2 * 64 + 1) * 64  # weights of input and output before, a bias, four gates
    assert load_model("lstm-nano").parameter_count == 256 * f + 2 * layer + (f + 1) * 256


def test_parameters_of_gnmt_on_paper():
    """PyTorch has a second bias for each of nine LSTMs, and one number more for its attention."""
    f, vocab = 1024, 32_320
    lstms = 5 * 4 * (2 * f + 1) * f + 4 * 4 * (3 * f + 1) * f  # of f inputs, and of 2 f
    attention, logits = 2 * (f + 1) * f, (f + 1) * vocab
    model = load_model("gnmt")
    assert model.parameter_count == vocab * f + lstms + attention + logits
    assert [model.layers[i].name for i in model.lenders] == ["network.target"]


def matmul_flop(found: Burden) -> int:
    return found.forward_matmul_flop + found.backward_matmul_flop


def megatron_flop(blocks: int, hidden: int, tokens: int, vocab: int) -> float:
    """FLOP of a sequence, forward and backward, nothing computed again, all keys of a query.

    Source: Korthikanti et al., arXiv:2205.05198, 2022, appendix A: 72 B L s h^2 (1 + s / 6 h +
    v / 12 h L); B = 1.
    """
    whole = 72 * blocks * tokens * hidden**2
    return whole * (1 + tokens / (6 * hidden) + vocab / (12 * hidden * blocks))


def attention_differs(blocks: int, hidden: int, tokens: int, *, causal: bool) -> int:
    """What we count beside the formula: scores computed again (7 products to 6), causal tiles."""
    ours = 7 * scores(tokens, int(causal)) * 2 * hidden
    return blocks * (ours - 6 * tokens**2 * 2 * hidden)


@pytest.mark.parametrize("name", ["gpt-2", "gpt-2-medium", "gpt-2-large", "gpt-2-xl", "gpt-nano"])
def test_flop_of_decoders_are_those_of_megatron_but_for_attention(name):
    v = gpt.VARIANTS[name]
    known = megatron_flop(v.blocks, v.features, v.positions, v.vocab)
    differs = attention_differs(v.blocks, v.features, v.positions, causal=True)
    found = matmul_flop(burden(load_model(name)))
    assert found == pytest.approx(known + differs, rel=1e-12)
    assert abs(found / known - 1) < 0.06


@pytest.mark.parametrize("name", ["bert-large:128", "bert-large:512", "bert-base"])
def test_flop_of_encoders_are_those_of_megatron_but_for_heads_and_attention(name):
    """Logits of the masked tokens alone; a transform of these, a pooler and a classifier."""
    model = load_model(name)
    v = bert.VARIANTS[name.partition(":")[0]]
    masked, tokens = model.layers[-1].out_shape[0], model.layers[0].out_shape[0]
    h = v.features
    known = megatron_flop(v.blocks, h, tokens, bert.VOCAB * masked / tokens)
    heads = 6 * (masked * h**2 + h**2 + 2 * h)
    differs = attention_differs(v.blocks, h, tokens, causal=False)
    found = matmul_flop(burden(model))
    assert found == pytest.approx(known + heads + differs, rel=1e-12)
    assert abs(found / known - 1) < 0.03


@pytest.mark.parametrize("name", ["gpt-2", "gpt-2-xl", "bert-large"])
def test_flop_are_about_six_a_parameter_and_token(name):
    """Kaplan et al., arXiv:2001.08361, section 2.1: without attention, tables and positions."""
    model = load_model(name)
    tokens = model.layers[0].out_shape[0]
    in_blocks = sum(x.parameter_count for x in model.layers if x.name.startswith("block"))
    logits = model.layers[-1]
    six = 6 * (
        in_blocks * tokens + logits.borrowed["w"][0] * logits.in_shape[0] * logits.in_shape[1]
    )
    assert 1 < matmul_flop(burden(model)) / six < 1.12


def test_the_formula_would_see_a_layer_less():
    v = gpt.VARIANTS["gpt-2"]
    less = replace(v, blocks=v.blocks - 1)
    found = matmul_flop(burden(gpt.decoder("less", less, v.positions)))
    assert found < 0.95 * megatron_flop(v.blocks, v.features, v.positions, v.vocab)


def test_a_text_may_be_shorter_and_keeps_its_parameters():
    short, long = load_model("bert-large:128"), load_model("bert-large:512")
    assert short.parameter_count == long.parameter_count
    assert (short.name, long.name) == ("bert-large:128", "bert-large:512")
    assert [x.layers[-1].out_shape[0] for x in (short, long)] == [20, 77]
    assert short.sha256() != long.sha256()
    assert replace(short, name="bert-large") == load_model("bert-large")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bert-base:513", "expected 1 to 512 tokens after the colon, got '513'"),
        ("gpt-2:0", "expected 1 to 1024 tokens after the colon, got '0'"),
        ("gpt-2:", "expected 1 to 1024 tokens after the colon, got ''"),
        ("lenet-5:64", "only a network whose records are images of its own size has"),
        ("gpt-3:64", "model 'gpt-3': unknown; did you mean gpt-2"),
    ],
)
def test_a_length_that_cannot_be_is_refused(name, message):
    with pytest.raises(ModelError, match=message):
        load_model(name)


def test_seq_is_the_length_after_the_colon():
    assert with_tokens("gpt-2", None) == "gpt-2"
    assert with_tokens("gpt-2", 256) == with_tokens("gpt-2:64", 256) == "gpt-2:256"
    with pytest.raises(ModelError, match=r"--seq 64: my\.toml says itself what it reads"):
        with_tokens("my.toml", 64)


def test_records_hold_labels_and_tokens_in_as_few_bytes_as_they_need():
    assert load_model("gpt-nano").record_bytes == 65
    assert load_model("gpt-2").record_bytes == 2 * 1025
    assert load_model("bert-base").record_bytes == 2 * (1 + 20 + 2 * 128 + 20)


def test_heads_have_a_loss_each_and_labels_in_their_order():
    model = tiny_encoder()
    assert model.logit_shapes == ((2,), (2, 17))
    assert model.labels == 3
    assert [model.layers[i].name for i in model.heads] == ["heads.sentence", "heads.tokens"]


def text_model(*, tied_to: str, tied: int = 1, vocab: int = 9) -> ModelGraph:
    b = BlockBuilder(Value(INPUT, (4,)))
    x = b.layer("words", "embedding", b.input, vocab=9, features=3, tied=tied)
    b.tied("logits", tied_to, x, vocab=vocab)
    block = Block(name="", layers=tuple(b.layers))
    return ModelGraph(name="m", blocks=(block,), record_shape=(4,), classes=vocab, next_token=True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"tied_to": "wrds"}, "'logits' needs an embedding with tied = 1 .* got 'wrds'"),
        ({"tied_to": "words", "tied": 0}, "'logits' needs an embedding with tied = 1"),
        ({"tied_to": "words", "vocab": 8}, r"whose table is \(8, 3\), got 'words'"),
    ],
)
def test_a_layer_that_is_tied_to_no_table_of_its_shape_is_refused(fault, message):
    assert text_model(tied_to="words").lenders == {1: 0}
    with pytest.raises(ModelError, match=message):
        text_model(**fault)


def test_a_table_that_comes_after_its_borrower_is_refused():
    """The borrower would read a table and add to a gradient that are not there yet."""
    b = BlockBuilder(Value(INPUT, (4,)))
    x = b.layer("words", "embedding", b.input, vocab=9, features=3)
    early = b.tied("early", "table", x, vocab=3)
    late = b.layer("table", "embedding", b.input, vocab=3, features=3, tied=1)
    b.layer("logits", "add", early, late)
    with pytest.raises(ModelError, match="'early' needs an embedding with tied = 1 before it"):
        ModelGraph(
            name="m",
            blocks=(Block(name="", layers=tuple(b.layers)),),
            record_shape=(4,),
            classes=3,
            next_token=True,
        )


def test_a_table_that_is_tied_to_nothing_is_refused():
    """Its gradient would be added to what is not there."""
    b = BlockBuilder(Value(INPUT, (4,)))
    x = b.layer("words", "embedding", b.input, vocab=9, features=3, tied=1)
    b.layer("logits", "linear", x, features=9)
    with pytest.raises(ModelError, match="needs one layer that is tied to it, got 0 for 1"):
        ModelGraph(
            name="m",
            blocks=(Block(name="", layers=tuple(b.layers)),),
            record_shape=(4,),
            classes=9,
            next_token=True,
        )


def test_a_layer_of_floats_reads_no_numbers():
    b = BlockBuilder(Value(INPUT, (4,)))
    words = b.layer("words", "embedding", b.input, vocab=9, features=4)
    own = b.layer("own", "linear", b.input, features=4)
    b.layer("add", "add", b.layer("first", "first_token", words), own)
    block = Block(name="", layers=tuple(b.layers))
    with pytest.raises(
        ModelError, match=r"'own' \(linear\) takes floats but 'input' gives numbers"
    ):
        ModelGraph(name="m", blocks=(block,), record_shape=(4,), classes=4)


def test_a_table_looks_up_no_floats():
    b = BlockBuilder(Value(INPUT, (4,)))
    y = b.layer("tanh", "tanh", b.input)
    b.layer("words", "embedding", y, vocab=9, features=4)
    block = Block(name="", layers=tuple(b.layers))
    with pytest.raises(ModelError, match=r"\(embedding\) takes numbers but 'tanh' gives floats"):
        ModelGraph(name="m", blocks=(block,), record_shape=(4,), classes=4)


def test_next_tokens_are_as_many_as_tokens():
    b = BlockBuilder(Value(INPUT, (4,)))
    x = b.layer("words", "embedding", b.input, vocab=9, features=3)
    b.layer("out", "linear", b.layer("first", "first_token", x), features=9)
    block = Block(name="", layers=tuple(b.layers))
    with pytest.raises(ModelError, match=r"must give \(4, 9\) logits, got \(9,\)"):
        ModelGraph(name="m", blocks=(block,), record_shape=(4,), classes=9, next_token=True)


def test_what_writes_its_records_is_named():
    assert load_model("gpt-nano:32").data_command == "foreplan data text --seq 32"
    for name in ("gpt-2", "bert-base:64"):
        assert load_model(name).data_command == f"foreplan data synthetic --model {name}"


def test_a_record_numbers_nothing_that_is_not_there():
    model = load_model("bert-base:10")
    sentence, masked = (2,), (30_522,) * 2
    sample = (30_522,) * 10 + (2,) * 10 + (10,) * 2
    assert record_limits(model) == sentence + masked + sample
    assert record_limits(load_model("gpt-2:3")) == (50_257,) * 4


def test_a_tied_table_is_exchanged_and_updated_once():
    model = tiny_decoder()
    owners = [x.name for x in model.layers if x.parameters]
    assert "logits.tokens" not in owners
    assert model.lenders == {len(model.layers) - 1: 0}
    assert model.flop("weight_grad") > 0
    assert model.parameter_count == sum(x.parameter_count for x in model.layers)


def test_models_show_takes_a_length(inside, tmp_path):
    arguments = ["models", "show", "bert-large", "--seq", "512", "--json"]
    answer = inside(arguments, tmp_path, tmp_path)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert facts["name"] == "bert-large:512"
    assert facts["trained_params"] == 336_226_108
    refused = inside(["models", "show", "bert-large", "--seq", "600"], tmp_path, tmp_path)
    assert refused.returncode == 2
    assert "expected 1 to 512 tokens after the colon" in refused.stderr
