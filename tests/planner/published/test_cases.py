"""What tables call things: their words lead to our models, devices, systems and software."""

from dataclasses import replace

import pytest

from planner.published.cases import express
from planner.published.names import Unsaid
from planner.published.predict import predicted_s

TOLD = {
    "model": "ResNet-50",
    "precision": "fp32",
    "accelerator": "V100 16GB",
    "n_devices": "1",
    "framework": "TensorFlow",
    "year": "2020",
    "batch_per_device": "64",
}


def told(**changes):
    return express(TOLD | changes)


@pytest.mark.parametrize(
    ("model", "size", "framework", "name"),
    [
        ("ResNet-50", "", "TensorFlow", "resnet-50"),
        ("resnet50", "224x224", "PyTorch 1.12 nhwc", "resnet-50-v1-5"),
        ("resnet101d", "256x256", "PyTorch 1.12 nhwc", "resnet-101d:256"),
        ("tf_efficientnetv2_m", "384x384", "PyTorch 1.12 nchw", "efficientnet-v2-m"),
        ("efficientnet efficientnet-widese-b4", "", "PyTorch", "efficientnet-widese-b4"),
        ("efficientnet_v1 v1-B4", "", "TensorFlow2", "efficientnet-b4"),
        ("tf_efficientnet_b1_ns", "", "PyTorch 1.12 nhwc", "efficientnet-b1"),
        ("gluon_resnet101_v1d", "", "PyTorch 1.12 nhwc", "resnet-101d"),
        ("gluon_senet154", "", "PyTorch 1.12 nhwc", "senet-154"),
        ("swsl_resnet18", "", "PyTorch 1.12 nhwc", "resnet-18"),
        ("resnet50_v2", "", "TensorFlow", "resnet-v2-50"),
        ("Inception4", "", "TensorFlow", "inception-v4"),
        ("bert_base_squad", "", "PyTorch", "bert-base:384"),
        ("gluon_resnext101_64x4d", "", "PyTorch 1.12 nchw", "resnext-101-64x4d"),
        ("AlexNet (group=1)", "227x227", "PaddlePaddle cuDNN 5.1", "alexnet-ungrouped"),
        ("BERT pretrain", "seq 512", "TensorFlow", "bert-large:512"),
        ("BERT pretrain", "seq 512", "PyTorch", "bert-large:256"),
        ("ELECTRA", "seq 128", "TensorFlow2", "electra-base:128"),
        ("ELECTRA", "seq 384", "TensorFlow2", "electra-base-discriminator:384"),
    ],
)
def test_a_name_leads_to_a_model_at_its_size(model, size, framework, name):
    assert told(model=model, input_size=size, framework=framework).model == name


@pytest.mark.parametrize(
    ("accelerator", "device"),
    [
        ("NVIDIA V100-SXM3-32GB (450W)", "v100-sxm3-32g"),
        ("Nvidia Tesla V100S-PCIe-32GB", "v100s-pcie-32g"),
        ("A100 40GB", "a100-sxm4-40g"),
        ("K80 (EC2 p2, 1 GPU per node)", "k80-gk210"),
        ("Titan X (Maxwell)", "titan-x-maxwell"),
        ("2080 Ti", "rtx-2080-ti"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80g"),
        ("Titan Xp", "titan-x-pascal"),
        ("GH200", "gh200-144g"),
    ],
)
def test_an_accelerator_leads_to_a_device(accelerator, device):
    assert told(accelerator=accelerator).device == device


def test_several_cards_of_a_workstation_are_on_pcie():
    found = told(accelerator="2080 Ti", n_devices="4", devices_per_node="4")
    assert found.system == "rtx-2080-ti-8"
    assert found.plan.placement == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("framework", "year", "stack"),
    [
        ("TensorFlow", "2016", "cudnn-2016"),
        ("TensorFlow", "", "tensorflow-xla"),
        ("TensorFlow 1.5.0", "2018", "tensorflow-1-2017"),
        ("pytorch", "2020", "mlperf"),
        ("PyTorch", "2020", "pytorch-containers"),
        ("MxNet", "2020", "fused-containers"),
        ("MXNet (CUDA 7.5, cuDNN 5.1)", "2017", "mxnet-2017"),
        ("CL-nn (Torch)", "2016", "opencl"),
        ("CNTK 2.0", "2017", "tensorflow-1-2017"),
        ("Theano", "2015", "libraries-2016"),
        ("OneFlow", "2022", "pytorch-containers"),
    ],
)
def test_a_framework_leads_to_its_generation(framework, year, stack):
    assert told(framework=framework, year=year).stack == stack


def test_the_first_of_two_batches_is_that_of_float32():
    assert told(batch_per_device="8 : 16").plan.microbatch == 8
    assert told(batch_per_device="8 : 16", precision="AMP-FP16").plan.microbatch == 16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "abacus"}, "model 'abacus' is not built in"),
        ({"model": "vgg16", "input_size": "256x256"}, "would need other parameters"),
        ({"n_devices": "16", "devices_per_node": "16"}, "a node of dgx-1-v100 has 8"),
        ({"n_devices": "2", "accelerator": "MI250"}, "a system of several 'MI250' is not built in"),
        ({"batch_per_device": "many"}, "batch_per_device is 'many', no whole number"),
    ],
)
def test_what_cannot_be_expressed_says_why(changes, reason):
    with pytest.raises(Unsaid, match=reason):
        told(**changes | ({"devices_per_node": "2"} if changes.get("n_devices") == "2" else {}))


@pytest.mark.parametrize(
    ("model", "size", "devices", "batch"),
    [
        ("BERT pretrain", "seq 128", "1", 65536),
        ("BERT pretrain", "seq 512", "1", 32768),
        ("ELECTRA", "seq 384", "1", 64),
        ("BERT finetune", "", "1", 64),
        ("ResNet-50", "", "1", 64),
    ],
)
def test_large_batches_are_added_up_before_an_update(model, size, devices, batch):
    case = told(model=model, input_size=size, n_devices=devices)
    assert case.training.batch == batch
    assert case.assumed.get("global_batch", 64) == batch


@pytest.mark.parametrize(
    ("precision", "told_as", "samples"),
    [
        ("fp32", "8 : 16", 8),
        ("fp16", "8 : 16", 16),
        ("fp32", "7638", 38),
        ("fp16", "7638", 76),
        ("fp32", "128128", 128),
        ("fp32", "1024", 1024),
        ("fp16", "6432", 64),
        ("fp32", "88", 88),
    ],
)
def test_two_batches_in_a_cell_are_told_apart(precision, told_as, samples):
    assert told(precision=precision, batch_per_device=told_as).plan.microbatch == samples


def test_a_host_decodes_real_images_where_its_framework_does():
    row = {"n_devices": "8", "devices_per_node": "8", "framework": "TensorFlow 1.4"}
    real = told(**row, input_data="real")
    assert real.images_per_node_s == pytest.approx(40 * 266)
    assert told(**row, input_data="synthetic").images_per_node_s is None
    assert told(**row | {"framework": "mxnet"}, input_data="real").images_per_node_s is None
    slow = replace(real, images_per_node_s=10.0)
    assert predicted_s(slow, slow.machine()) == pytest.approx(real.training.batch / 10)
    assert predicted_s(real, real.machine()) < predicted_s(slow, slow.machine())
