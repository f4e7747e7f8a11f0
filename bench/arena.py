"""Print what static allocation costs: arenas over what is alive, for many plans of some models.

    python bench/arena.py [MODEL ...]       the models that run on digits, small pictures and text

*May live* is the most that is alive at once in some order that the dependencies allow; the arena
must hold that. *Lives* is the most that was alive in the simulated step, on four devices of a
``v100-quad``. Of each group of plans the worst is shown.
"""

import sys
from collections.abc import Iterator
from itertools import product

from foreplan.machines import load_machine
from planner.landings import arrivals, distinct_names
from planner.layout import memory_bytes
from planner.model import ModelGraph, load_model
from planner.plan import Plan, Training
from planner.predict import predict
from planner.space import Choices, distinct_sizes

MODELS = ("mlp", "lenet-5", "gpt-nano", "alexnet-cifar", "resnet-20")
WORKERS = (1, 2, 3, 4)
SLOTS = ((1, 1), (2, 1), (3, 1), (1, 2))
"""Of activations, and of landing registers."""


def plans(model: ModelGraph, workers: int) -> Iterator[tuple[Training, Plan]]:
    """Yield every algorithm, bucket size, overlap, number of slots, and a small and larger step."""
    whole = 4 * model.parameter_count
    sizes = [size for size in Choices().bucket_bytes if size < whole]
    sizes = distinct_sizes(model, Training(batch=1), sizes, whole)
    names = distinct_names(workers) if workers > 1 else ["none"]
    microbatches = {model.norm_group, max(16, model.norm_group)}
    axes = (names, sizes if workers > 1 else [whole], (False, True)[:workers], SLOTS)
    for microbatch, (name, size, overlap, (frames, landing)) in product(
        sorted(microbatches), product(*axes)
    ):
        used = arrivals(name, workers) if workers > 1 else 1
        if landing > used:
            continue  # a slot that nothing ever takes
        plan = Plan(
            workers=workers,
            microbatch=microbatch,
            placement=tuple(range(workers)),
            algorithm=name,
            bucket_bytes=size,
            overlap=overlap,
            activation_slots=frames,
            landing_slots=landing,
        )
        yield Training(batch=workers * microbatch * frames), plan


def main(names: list[str]) -> None:
    """Print the worst plan of each model, number of workers, overlap and slots."""
    machine = load_machine("v100-quad")
    print("model          workers overlap slots  plans  of may-live  of lives  (worst)")
    for name, workers in product(names or MODELS, WORKERS):
        model = load_model(name)
        groups: dict[tuple[bool, str], list[tuple[float, float, str]]] = {}
        for training, plan in plans(model, workers):
            found = predict(model, training, plan, machine)[0]
            memory = memory_bytes(model, training, plan)
            arena = sum(memory.values())
            group = plan.overlap, f"{plan.activation_slots}+{plan.landing_slots}"
            row = arena / (arena - memory.get("gaps", 0)), found.waste, plan.label
            groups.setdefault(group, []).append(row)
        for (overlap, slots), rows in groups.items():
            may, (lives, worst) = max(row[0] for row in rows), max(row[1:] for row in rows)
            print(
                f"{name:14} {workers:7} {'on' if overlap else 'off':>7} {slots:>5} {len(rows):6}"
                f"  {may:11.3f} {lives:9.3f}  {worst}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
