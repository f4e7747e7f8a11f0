"""What `make gpu-check` runs, on a GPU and as a rehearsal without one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model, batch and dtype on one device, or one rank of a plan on several."""

    model: str
    batch: int
    dtype: str
    optimizer: str = "sgd"
    disk: bool = False
    """Whether records come from a file, read ahead; else they are there already."""
    ranks: int = 1
    """More than one: rank 0 of as many is replayed, ``batch`` samples each."""
    cluster: str = ""
    """With ``ranks``: whose links it has; empty for that of the GPU."""

    @property
    def learning_rate(self) -> float:
        """That of its optimizer."""
        return LEARNING_RATES[self.optimizer]

    @property
    def key(self) -> str:
        """Name, unique."""
        parts = [self.model, f"b{self.batch}", self.dtype]
        parts += ["disk"] * self.disk + [f"replay{self.ranks}"] * (self.ranks > 1)
        return "/".join(parts)


LEARNING_RATES = {"sgd": 0.01, "adamw": 3e-4}
"""Nothing is warmed up, so AdamW takes less than its default."""
CONVNETS = ("resnet-50", "vgg-16", "alexnet")
DTYPES = ("bfloat16", "tf32", "float32")

GPU = (
    *(Case(model=model, batch=128, dtype="bfloat16") for model in CONVNETS),
    Case(model="gpt-2:1024", batch=8, dtype="bfloat16", optimizer="adamw"),
    Case(model="resnet-50", batch=32, dtype="bfloat16", ranks=8),
    Case(model="resnet-50", batch=128, dtype="bfloat16", disk=True),
    *(Case(model=model, batch=128, dtype="tf32") for model in CONVNETS),
    Case(model="gpt-2:1024", batch=8, dtype="tf32", optimizer="adamw"),
    *(Case(model=model, batch=128, dtype="float32") for model in reversed(CONVNETS)),
    Case(model="gpt-2:1024", batch=8, dtype="float32", optimizer="adamw"),
    *(Case(model=model, batch=32, dtype="bfloat16") for model in reversed(CONVNETS)),
    Case(model="alexnet", batch=256, dtype="bfloat16", disk=True),
    Case(model="resnet-50", batch=128, dtype="float16"),
    *(Case(model=model, batch=256, dtype="bfloat16") for model in reversed(CONVNETS)),
    *(Case(model=model, batch=32, dtype="tf32") for model in reversed(CONVNETS)),
    *(Case(model=model, batch=32, dtype="float32") for model in reversed(CONVNETS)),
    *(Case(model=model, batch=256, dtype="tf32") for model in reversed(CONVNETS)),
    *(Case(model=model, batch=256, dtype="float32") for model in reversed(CONVNETS)),
)
"""The most telling first: an interrupted run has some of everything."""

REHEARSAL = (
    Case(model="lenet-5", batch=8, dtype="float32"),
    Case(model="gpt-nano", batch=2, dtype="float32", optimizer="adamw"),
    Case(model="mlp", batch=8, dtype="float32", disk=True),
    Case(model="mlp", batch=8, dtype="float32", ranks=4, cluster="v100-quad"),
    Case(model="lenet-5", batch=8, dtype="float16"),
    Case(model="mlp", batch=8, dtype="bfloat16"),
)
PROFILES = {
    "H200": ("h200-sxm-141g", "dgx-h200"),
    "H100 80GB HBM3": ("h100-sxm5-80g", "dgx-h100"),
    "H100 PCIe": ("h100-pcie-80g", "dgx-h100"),
    "A100-SXM4-80GB": ("a100-sxm4-80g", "dgx-a100-80g"),
    "A100-SXM4-40GB": ("a100-sxm4-40g", "dgx-a100-40g"),
    "V100-SXM2-16GB": ("v100-sxm2-16g", "aws-p3-16xlarge"),
    "V100-SXM2-32GB": ("v100-sxm2-32g", "dgx-1-v100"),
}
"""By a part of the GPU's name: its profile, and a system of eight."""


def profile_of(gpu: str) -> tuple[str, str]:
    """Return profile and system of a GPU, empty where none is known."""
    return next((both for part, both in PROFILES.items() if part in gpu), ("", ""))
