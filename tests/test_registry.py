"""Names that a user can give: pinned here, so that none appears or goes by accident."""

import pytest

from foreplan import models
from hwprofiles.clusterfacts import builder_names
from hwprofiles.parts import part_names
from hwprofiles.registry import names
from planner.algorithms import algorithm_names, numbered_names
from planner.collectives import __name__ as collectives
from planner.layers import __name__ as layers
from planner.opsets import general_calls, sentinels
from planner.optimizer import optimizer_names
from planner.pipeline import schedule_names
from runtime.backends import backend_names
from runtime.kernels import __name__ as kernels

DEVICES = """
a10 a100-pcie-40g a100-pcie-80g a100-sxm4-40g a100-sxm4-80g a10g a16 a2 a30 a40 a800-pcie-80g
a800-sxm4-80g ascend-910 b200-sxm-180g b300-sxm-288g epyc-7742 epyc-7763 epyc-9654 epyc-9755 gaudi-2
gaudi-3 gb200-186g gb300-288g gh200-144g gh200-96g grace-72c graviton-3 graviton-4 gtx-1050-ti
gtx-1060 gtx-1070 gtx-1070-ti gtx-1080 gtx-1080-ti gtx-1650 gtx-1660 gtx-1660-super gtx-1660-ti
gtx-680 gtx-750-ti gtx-780-ti gtx-970 gtx-980 gtx-980-ti gtx-titan gtx-titan-black gtx-titan-z
h100-nvl-94g h100-pcie-80g h100-sxm5-80g h20-sxm5-96g h200-nvl-141g h200-sxm-141g h800-pcie-80g
h800-sxm5-80g k10 k20 k20x k40 k80-gk210 l20 l4 l40 l40s m40-12g m40-24g m60 max-1100 max-1550 mi100
mi210 mi25 mi250-gcd mi250x-gcd mi300a mi300x mi325x mi350x mi355x mi50 mi60 p100-pcie-12g
p100-pcie-16g p100-sxm2-16g p4 p40 quadro-gp100 quadro-gv100 quadro-k6000 quadro-m6000 quadro-p4000
quadro-p5000 quadro-p6000 quadro-rtx-4000 quadro-rtx-5000 quadro-rtx-6000 quadro-rtx-8000 radeon-vii
rtx-2060 rtx-2060-super rtx-2070 rtx-2070-super rtx-2080 rtx-2080-super rtx-2080-ti rtx-3050
rtx-3060 rtx-3060-ti rtx-3070 rtx-3070-ti rtx-3080 rtx-3080-ti rtx-3090 rtx-3090-ti rtx-4000-ada
rtx-4060 rtx-4060-ti rtx-4070 rtx-4070-super rtx-4070-ti rtx-4070-ti-super rtx-4080 rtx-4080-super
rtx-4090 rtx-4090-d rtx-4500-ada rtx-5000-ada rtx-5060-ti rtx-5070 rtx-5070-ti rtx-5080 rtx-5090
rtx-6000-ada rtx-a2000-12g rtx-a4000 rtx-a4500 rtx-a5000 rtx-a5500 rtx-a6000 rtx-pro-4500-blackwell
rtx-pro-5000-blackwell rtx-pro-6000-blackwell rx-vega-64 t4 titan-rtx titan-v titan-x-maxwell
titan-x-pascal tpu-v2 tpu-v3 tpu-v4 tpu-v5e tpu-v5p tpu-v6e tpu-v7 trainium-1 trainium-2 trainium-3
v100-pcie-16g v100-sxm2-16g v100-sxm2-32g v100-sxm3-32g v100s-pcie-32g xeon-e5-2630-v3
xeon-e5-2640-v3 xeon-e5-2650-v3 xeon-e5-2660-v3 xeon-e5-2670-v3 xeon-e5-2680-v3 xeon-e5-2683-v3
xeon-e5-2687w-v3 xeon-e5-2690-v3 xeon-e5-2695-v3 xeon-e5-2697-v3 xeon-e5-2698-v3 xeon-e5-2699-v3
xeon-platinum-8180 xeon-platinum-8280 xeon-platinum-8380 xeon-platinum-8480-plus
"""
LINKS = """
aries dcn-tpu-v5p efa-v1 efa-v2 efa-v3 efa-v4 ethernet-100g ethernet-10g ethernet-1g ethernet-25g
ethernet-40g ethernet-50g gpudirect-tcpx gpudirect-tcpxo hccs-1 ici-tpu-v2 ici-tpu-v3 ici-tpu-v4
ici-tpu-v5e ici-tpu-v5p ici-tpu-v6e ici-tpu-v7 infiniband-edr-100g infiniband-fdr-56g
infiniband-hdr-200g infiniband-ndr-400g infiniband-xdr-800g infinity-fabric-mi100
infinity-fabric-mi250x infinity-fabric-mi250x-x2 infinity-fabric-mi250x-x4 infinity-fabric-mi300x
infinity-fabric-mi355x neuronlink-v2 neuronlink-v3 nvlink-1 nvlink-1-x4 nvlink-2-x1 nvlink-2-x2
nvlink-2-x6 nvlink-3 nvlink-3-bridge nvlink-3-bridge-x4 nvlink-3-x12 nvlink-3-x4 nvlink-3-x8
nvlink-4 nvlink-4-x12 nvlink-4-x18 nvlink-4-x6 nvlink-4-x8 nvlink-5 nvlink-5-x18 nvlink-c2c
nvswitch-1 nvswitch-2 nvswitch-3 nvswitch-3-h800 nvswitch-4 pcie-3-x16 pcie-4-x16 pcie-5-x16
pcie-6-x16 qpi-8.0 qpi-8.0-x2 qpi-9.6 qpi-9.6-x2 roce-100g roce-200g roce-400g roce-400g-fabric
roce-800g roce-gaudi-2 roce-gaudi-2-x3 roce-gaudi-3 roce-gaudi-3-x3 slingshot-11 upi-10.4 upi-11.2
upi-16 xgmi-2-x16 xgmi-3-x16
"""
CLUSTERS = """
a100-pcie-40g-8 a100-pcie-80g-8 a40-8 alps-gh200 atlas-900 aws-g4dn-12xlarge aws-g4dn-metal
aws-g5-12xlarge aws-g5-48xlarge aws-g6-12xlarge aws-g6-48xlarge aws-g6e-48xlarge aws-p2-16xlarge
aws-p2-8xlarge aws-p3-16xlarge aws-p3dn-24xlarge aws-p4d-24xlarge aws-p4de-24xlarge aws-p5-48xlarge
aws-p5e-48xlarge aws-p5en-48xlarge aws-p6-b200-48xlarge aws-p6-b300-48xlarge aws-trn1-32xlarge
aws-trn2-48xlarge azure-nc24rs-v3 azure-nc64as-t4-v3 azure-nc80adis-h100-v5 azure-nc96ads-a100-v4
azure-nd40rs-v2 azure-nd96amsr-v4 azure-nd96asr-v4 azure-nd96isr-h100-v5 azure-nd96isr-h200-v5
azure-nd96isr-mi300x-v5 big-basin-p100 dell-dss8440 dgx-1-p100 dgx-1-v100 dgx-2 dgx-a100-40g
dgx-a100-80g dgx-b200 dgx-b300 dgx-h100 dgx-h200 dual-xeon-e5-2660-v3 eos frontier gaudi-2-8
gaudi-3-8 gb200-nvl72 gcp-a2-highgpu-8g gcp-a2-megagpu-16g gcp-a2-ultragpu-8g gcp-a3-highgpu-8g
gcp-a3-megagpu-8g gcp-a3-ultragpu-8g gcp-a4-highgpu-8g gcp-a4x gcp-g2-standard-96 gtx-1080-ti-8
h100-pcie-8 hgx-h800 k40-quad l40s-8 meta-24k-infiniband meta-24k-roce mi300x-8 mi355x-8 p40-octo
perlmutter piz-daint-xc50 quadro-rtx-8000-8 rtx-2080-ti-8 rtx-3090-8 rtx-4090-8 rtx-a6000-8
rtx-pro-6000-8 selene t4-8 tpu-v2 tpu-v2-board tpu-v3 tpu-v4 tpu-v5e tpu-v5p tpu-v6e tpu-v7
v100-pcie-16g-8 v100-quad
"""
MODELS = """
alexnet alexnet-cifar alexnet-owt alexnet-ungrouped amoebanet-d-18-256 bert-base bert-large
cifar10-quick cspresnet-50 densenet-121 densenet-161 densenet-169 densenet-201 eca-resnet-50d
efficientnet-b0 efficientnet-b1 efficientnet-b2 efficientnet-b3 efficientnet-b4 efficientnet-b5
efficientnet-b6 efficientnet-b7 efficientnet-v2-l efficientnet-v2-m efficientnet-v2-s
efficientnet-widese-b0 efficientnet-widese-b4 electra-base electra-base-discriminator gnmt googlenet
gpt-2 gpt-2-large gpt-2-medium gpt-2-xl gpt-nano inception-resnet-v2 inception-v3 inception-v4
lenet-5 lstm-nano mlp mobilenet mobilenet-v2 mobilenet-v2-0.5 mobilenet-v2-1.1d mobilenet-v2-1.2d
mobilenet-v2-1.4 mobilenet-v3 mobilenet-v3-small overfeat resnet-101 resnet-101-v1-5 resnet-101d
resnet-152 resnet-152-v1-5 resnet-152d resnet-18 resnet-18d resnet-20 resnet-200 resnet-200d
resnet-26 resnet-26d resnet-34 resnet-34d resnet-50 resnet-50-v1-5 resnet-50d resnet-56
resnet-v2-101 resnet-v2-152 resnet-v2-50 resnext-101-32x4d resnext-101-32x8d resnext-101-64x4d
resnext-50-32x4d resnext-50d-32x4d se-resnet-101 se-resnet-152 se-resnet-50 se-resnext-101
se-resnext-101-32x8d se-resnext-50 senet-154 squeezenet squeezenet-1-1 u-net-5-64 vgg-11 vgg-11-bn
vgg-13 vgg-13-bn vgg-16 vgg-16-bn vgg-19 vgg-19-bn wide-resnet-101-2 wide-resnet-50-2
"""
LAYERS = """
add attention avg_pool batch_norm concat conv2d dropout embedding first_token flatten gate gelu
layer_norm linear lrn lstm max_pool pick_tokens positions relu sigmoid silu tanh unembedding
upsample
"""
PINNED = {
    "models": (models, MODELS.split()),
    "collectives": (
        algorithm_names,
        ["double_binary_tree", "halving_doubling", "ring", "sharded_star", "star", "tree"],
    ),
    "numbered": (
        numbered_names,
        [
            "hierarchical",
            "hierarchical_halving",
            "in_network",
            "multi_ring",
            "pipelined_ring",
            "torus",
        ],
    ),
    "primitives": (
        lambda: sorted(set(names(collectives)) - {*algorithm_names(), *numbered_names()}),
        [
            "all_gather",
            "all_to_all",
            "broadcast",
            "bruck_all_gather",
            "bruck_all_to_all",
            "chain_broadcast",
            "gather",
            "hierarchical_all_to_all",
            "reduce",
            "reduce_scatter",
            "scatter",
        ],
    ),
    "schedules": (schedule_names, ["gpipe", "one_f_one_b"]),
    "optimizers": (optimizer_names, ["adamw", "sgd"]),
    "layers": (lambda: names(layers), LAYERS.split()),
    "kernels": (
        lambda: names(kernels),
        [
            "adamw",
            "add",
            "attention",
            "avg_pool",
            "batch_norm",
            "concat",
            "conv2d",
            "dropout",
            "embedding",
            "first_token",
            "flatten",
            "gate",
            "gelu",
            "input",
            "layer_norm",
            "linear",
            "load",
            "lrn",
            "lstm",
            "max_pool",
            "pick_tokens",
            "positions",
            "relu",
            "scaling",
            "sgd",
            "sigmoid",
            "silu",
            "softmax_cross_entropy",
            "tanh",
            "unembedding",
            "upsample",
        ],
    ),
    "backends": (backend_names, ["cuda", "mkl", "numpy", "onednn"]),
    "devices": (lambda: part_names("device"), DEVICES.split()),
    "links": (lambda: part_names("link"), LINKS.split()),
    "clusters": (lambda: part_names("cluster"), CLUSTERS.split()),
    "fabrics": (
        builder_names,
        [
            "dragonfly",
            "edge-list",
            "fat-tree",
            "flat",
            "full-mesh",
            "hybrid-cube-mesh",
            "leaf-spine",
            "nvswitch",
            "pcie-tree",
            "rail-optimised",
            "torus",
        ],
    ),
}


@pytest.mark.parametrize("kind", PINNED)
def test_names_are_these(kind):
    listed, pinned = PINNED[kind]
    assert listed() == pinned


def test_every_op_of_the_general_set_has_a_kernel():
    """Kinds of single convnets, and BERT's heads, are timed only as ops of a plan: no curve."""
    calls = {**general_calls("float32"), **general_calls("float64"), **sentinels()}
    calls |= general_calls("float16")  # whose loss is scaled
    files = {call.kernel.partition(".")[0] for call in calls.values()}
    rare = {"concat", "gate", "sigmoid", "silu", "first_token", "pick_tokens", "upsample"}
    assert files == set(names(kernels)) - rare


def test_every_layer_kind_and_optimizer_has_a_kernel_of_its_name():
    assert {*names(layers), *optimizer_names()} <= set(names(kernels))
