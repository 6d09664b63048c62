"""Data sets by name. A data set is one file here with one loader, and one row in `DATASETS`."""

from collections.abc import Callable
from functools import cache

from suites.datasets.base import ImageDataset
from suites.datasets.digits import load_digits

DATASETS: dict[str, Callable[[], ImageDataset]] = {"digits": load_digits}
#: of the paper; they come with the scales "small" and "paper"
DATASETS_TO_COME = (
    "dolly", "self-instruct", "vicuna", "s-ni", "unni", "cifar100", "imagenet", "caltech101", "oxford-pets",
    "stanford-cars", "flowers102", "food101", "fgvc-aircraft", "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip


@cache
def load(name: str) -> ImageDataset:
    """Load a data set.

    Raises:
        ValueError: the name is not known; the message lists the known ones.
    """
    if name in DATASETS_TO_COME:
        raise ValueError(f"dataset={name!r} is not built yet; built so far: {', '.join(DATASETS)}")
    if name not in DATASETS:
        raise ValueError(f"dataset={name!r} is not known; choose one of {', '.join(DATASETS)}")
    return DATASETS[name]()
