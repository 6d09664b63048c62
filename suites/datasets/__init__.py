"""Data sets by name: one file here for each that can be loaded, and one table of all.

`python -m suites.datasets list` shows which are there and how to get the others.
"""

from functools import lru_cache

from suites.datasets import cifar100, digits, others
from suites.datasets.dataset import Dataset, ImageDataset

# every data set of the paper, in its order, after the one that is in every installation
TABLE: dict[str, Dataset] = {
    row.name: row for row in (digits.DATASET, *others.DATASETS[:5], cifar100.DATASET, *others.DATASETS[5:])
}
# those that can be loaded
DATASETS: dict[str, Dataset] = {name: row for name, row in TABLE.items() if row.load is not None}
DATASETS_TO_COME = tuple(name for name, row in TABLE.items() if row.load is None)


# the largest has 184 MB: what a command uses stays, what many tests use does not pile up
@lru_cache(maxsize=4)
def load(name: str, scale: str = "smoke") -> ImageDataset:
    """Load a data set.

    Args:
        name: a name in `DATASETS`.
        scale: "smoke", "small" or "paper": a stand-in, a subset, or all of it, where the data set makes that difference.

    Raises:
        ValueError: the name or the scale is not known; the message lists the known ones.
        suites.datasets.dataset.DatasetMissing: it is not on this machine; the message says how to get it.
        suites.datasets.dataset.DatasetError: it is damaged.
    """
    if name in DATASETS_TO_COME:
        raise ValueError(f"dataset={name!r} is not built yet; built so far: {', '.join(DATASETS)}")
    if name not in DATASETS:
        raise ValueError(f"dataset={name!r} is not known; choose one of {', '.join(DATASETS)}")
    return DATASETS[name].load(scale)
