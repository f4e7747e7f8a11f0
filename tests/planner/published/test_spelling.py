"""How a table spells model, precision, method and unit makes no other run of a row."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.published import names as table
from planner.published.cases import express
from planner.published.rows import SMALL, read_rows

ROWS = read_rows(SMALL)
CASES = {row.case_id: express(row.told) for row in ROWS}
SIGNS = st.sampled_from([" ", "-", "_"])
TOLD = {"accelerator": "A100 80GB", "n_devices": "1", "framework": "TensorFlow", "year": "2020"}
TOLD |= {"model": "ResNet-50", "precision": "fp32", "batch_per_device": "64"}
SEVERAL = {"accelerator": "V100 16GB", "n_devices": "8", "devices_per_node": "8"}


@settings(max_examples=20)
@given(row=st.sampled_from(ROWS), data=st.data())
def test_case_and_signs_make_no_other_run(row, data):
    """In every column that is read by rule but the framework's, whose case MLPerf's tables use."""
    told = dict(row.told)
    for column in ("model", "precision", "comm_method", "accelerator"):
        turned = data.draw(st.sampled_from([str.lower, str.upper, str]))
        signs = data.draw(SIGNS)
        text = re.sub("(?<=[a-z0-9])[ _-](?=[a-z0-9])", signs, told[column], flags=re.IGNORECASE)
        told[column] = turned(text)
    found = express(told)
    assert replace(found, assumed=CASES[row.case_id].assumed) == CASES[row.case_id]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("ResNet50 (v1.5)", "resnet-50-v1-5"),
        ("resnet_v1_101", "resnet-101"),
        ("resnet50_v1", "resnet-50"),
        ("RN50", "resnet-50"),
        ("ResNet-50 (ImageNet)", "resnet-50"),
        ("VGG-D", "vgg-16"),
        ("Inception V3 (299x299)", "inception-v3"),
        ("inception3", "inception-v3"),
        ("mobilenet_v2_1.0", "mobilenet-v2"),
        ("MobileNetV1", "mobilenet"),
        ("WRN-50-2", "wide-resnet-50-2"),
        ("bert-large-uncased", "bert-large"),
        ("BERT-Large fine-tuning SQuAD v1.1", "bert-large:384"),
        ("ResNeXt-101 (32x4d)", "resnext-101-32x4d"),
        ("ResNet-50 (MLPerf v1.1)", "resnet-50"),
        ("ResNet50-v1.5 (NHWC)", "resnet-50-v1-5"),
        ("ResNet-20 (CIFAR-10)", "resnet-20"),
        ("CaffeNet", "alexnet"),
        ("AlexNet (one tower)", "alexnet-owt"),
        ("BERT-Large (SQuAD fine-tuning)", "bert-large:384"),
        ("BioBERT", "bert-base"),
    ],
)
def test_a_spelling_leads_to_its_model(model, name):
    size = "seq 128" if name == "bert-large" else ""
    assert express({**TOLD, "model": model, "input_size": size}).model.removesuffix(":128") == name


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        *((told, "float16") for told in ("FP16", "AMP", "mixed", "Mixed (FP16)", "O2", "fp-16")),
        *((told, "bfloat16") for told in ("BF16", "AMP-BF16", "bfloat16 mixed precision")),
        *((told, "tf32") for told in ("TF32", "fp32", "FP-32", "single precision", "float", "32")),
        ("FP32 (no TF32)", "float32"),
        ("fp32 (allow_tf32=False)", "float32"),
    ],
)
def test_a_precision_leads_to_its_dtype(precision, dtype):
    assert express({**TOLD, "precision": precision}).training.dtype == dtype


@pytest.mark.parametrize(
    ("method", "framework", "algorithm", "mib"),
    [
        ("HOROVOD (NCCL)", "TensorFlow 1.14", "ring", 64),
        ("Parameter Server", "TensorFlow 1.4", "star", 0),
        ("PS", "TensorFlow 1.4", "star", 0),
        ("parameter-server (GPU)", "TensorFlow 1.4", "sharded_star", 0),
        ("Replicated", "TensorFlow 1.4", "ring", 0),
        ("KVStore dist_sync", "MXNet 1.2", "sharded_star", 0),
        ("DistributedDataParallel", "PyTorch 1.8", "ring", 25),
        ("distributed data parallel", "PyTorch 1.8", "ring", 25),
        ("none", "PyTorch 1.8", "ring", 25),
    ],
)
def test_a_method_leads_to_its_exchange(method, framework, algorithm, mib):
    plan = express({**TOLD, **SEVERAL, "comm_method": method, "framework": framework}).plan
    assert (plan.algorithm, plan.bucket_bytes) == (algorithm, mib << 20)


@pytest.mark.parametrize(
    ("framework", "stack"),
    [
        ("Pytorch 1.8", "pytorch-containers"),
        ("PyTorch 1.10", "pytorch-containers"),
        ("pytorch 1.2", "pytorch-2018"),
        ("TF 1.15", "tensorflow-1-2017"),
        ("tf2.4", "tensorflow-2"),
        ("TensorFlow 20.03", "tensorflow-xla"),
        ("JAX", "tensorflow-xla"),
    ],
)
def test_a_release_leads_to_its_generation(framework, stack):
    assert express({**TOLD, "framework": framework}).stack == stack


@pytest.mark.parametrize(
    ("model", "size", "unit", "factor"),
    [
        ("BERT", "seq 128", "img/sec", 1),
        ("BERT", "seq 128", "tokens/s", 128),
        ("BERT", "seq 128", "sequences/s/GPU", 1 / 8),
        ("BERT", "seq 128", "molecules/s", None),
        ("GNMT", "", "tokens/s", 50),
        ("BERT", "seq 128", "samples/min", 60),
        ("BERT", "seq 128", "k samples/s", 1 / 1000),
        ("BERT", "seq 128", "steps/s", 1 / 512),
        ("BERT", "seq 128", "ms/step", 64e-3 * 64 / 512),
        ("BERT", "seq 128", "seconds per epoch", None),
        ("BERT", "", "tokens/s", None),
    ],
)
def test_a_rate_is_read_in_its_unit(model, size, unit, factor, tmp_path):
    """Time of a step over that of as many samples/s of the whole job."""
    path = tmp_path / "rows.csv"
    heads = "case_id,source,model,accelerator,n_devices,input_size,samples_per_s,throughput_unit"
    row = f"me,{model},V100,8,{size},64"
    path.write_text(f"{heads}\na,{row},{unit}\nb,{row},samples/s\n")
    told, plain = (row.step_s(512) for row in read_rows(path))
    assert told == (plain * factor if factor else None)


def test_a_rule_that_knows_one_spelling_only_is_seen(monkeypatch):
    found = dict(table.names())
    found["precisions"] = {**found["precisions"], "rules": [["^fp32$", "float32"]]}
    monkeypatch.setattr("planner.published.cases.names", lambda: found)
    with pytest.raises(table.Unsaid):
        express({**TOLD, "precision": "FP-32"})


@pytest.mark.parametrize("number", ["1,024", "1024.0", "1024"])
def test_numbers_of_spreadsheets_are_read(number):
    assert express({**TOLD, "batch_per_device": number}).plan.microbatch == 1024


@pytest.mark.parametrize("size", ["299", "299x299", "299 x 299", "299x299x3", "3x299x299"])
def test_a_side_is_read_however_it_is_written(size):
    assert express({**TOLD, "input_size": size}).model == "resnet-50:299"


@pytest.mark.parametrize(
    ("batch", "devices", "samples"),
    [
        ("64/GPU", "8", 64),
        ("~64", "8", 64),
        ("b64", "8 GPUs", 64),
        ("256 (per GPU)", "8.0", 256),
        ("global 1024", "8", 128),
    ],
)
def test_a_batch_says_of_how_many_devices_it_is(batch, devices, samples):
    told = {**TOLD, **SEVERAL, "batch_per_device": batch, "n_devices": devices}
    assert express(told).plan.microbatch == samples


@pytest.mark.parametrize(
    ("accelerator", "inside", "system"),
    [
        ("V100 16GB", "PCIe", "v100-pcie-16g-8"),
        ("V100 16GB", "NVLink2", "dgx-1-v100"),
        ("8x V100", "NVLink2", "dgx-1-v100"),
        ("B200", "NVLink5", "dgx-b200"),
        ("MI300X", "xGMI", "mi300x-8"),
        ("TPUv5e", "ICI", "tpu-v5e:4x2"),
        ("A10G (g5.48xlarge)", "PCIe", "aws-g5-48xlarge"),
        ("A100 40GB", "PCIe", "a100-pcie-40g-8"),
        ("L40S", "PCIe", "l40s-8"),
        ("MI210", "PCIe", "rtx-3090-8"),
        ("GB300", "NVLink5", "gb200-nvl72"),
    ],
)
def test_several_devices_are_joined_by_what_joins_them(accelerator, inside, system):
    assert (
        express({**TOLD, **SEVERAL, "accelerator": accelerator, "intra_link": inside}).system
        == system
    )


@pytest.mark.parametrize(
    ("devices", "system"), [("4", "dgx-a100-80g"), ("8", "dgx-a100-80g"), ("32", "dgx-a100-80g:4")]
)
def test_a_node_is_taken_as_whole_where_none_is_stated(devices, system):
    found = express({**TOLD, "n_devices": devices})
    assert found.system == system
    assert found.assumed["devices_per_node"] == "those of a whole node"


@pytest.mark.parametrize(
    ("network", "gb_per_s"),
    [
        ("", None),
        ("InfiniBand", None),
        ("8x ConnectX-6 HDR 200Gb/s", None),
        ("25 GbE", 3.125),
        ("EDR", 100),
        ("2x100Gb RoCE", 25),
    ],
)
def test_a_network_takes_the_place_of_the_systems_own(network, gb_per_s):
    """Two nodes of eight; the system's has eight NICs of 25 GB/s."""
    told = {**SEVERAL, **TOLD, "n_devices": "16", "inter_link": network}
    between = express(told).between
    assert (between and between.bytes_per_s / 1e9) == gb_per_s


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("inter_link", "carrier pigeon"),
        ("comm_method", "model parallel"),
        ("comm_method", "asynchronous parameter server"),
        ("comm_method", "FSDP"),
        ("accelerator", "Ascend 910B"),
        ("accelerator", "RTX 3080 Laptop GPU"),
        ("n_devices", "12"),
        ("precision", "int8"),
        ("model", "GNMT-9000"),
    ],
)
def test_what_is_not_known_is_named(column, text):
    chips = {"accelerator": "TPU v3"} if column == "n_devices" else {}
    with pytest.raises(table.Unsaid, match=re.escape(text)):
        express({**TOLD, **SEVERAL, "n_devices": "16", **chips, column: text})
