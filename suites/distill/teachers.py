"""The teacher that another backend has trained, so that students of several frameworks learn from the same weights."""

from pathlib import Path

from results.records.store import Store
from suites.distill import cells
from suites.selection import Selection


def weights_of(backend: str, selection: Selection, store: Store) -> Path:
    """The file with the weights of the selection's teacher as `backend` trained it last.

    Raises:
        ValueError: the selection has several teachers, or the store does not hold this one.
    """
    wanted = {
        (pair.partition(":")[0], dataset, dtype)
        for dataset, pair in selection.trainings
        for dtype in selection.dtypes or ("float32",)
    }
    if len(wanted) > 1:
        names = ", ".join(sorted(f"{teacher} ({dataset}, {dtype})" for teacher, dataset, dtype in wanted))
        raise ValueError(f"teacher-of {backend!r}: there are several teachers, {names}; choose one pair and dtype")
    ((teacher, dataset, dtype),) = wanted
    fields = {"method": cells.TEACHER, "pair": teacher, "dataset": dataset, "dtype": dtype, "scale": selection.scale}
    for record in reversed(store.records(suite="distill", backend=backend, status="ok")):
        if fields.items() <= record.cell.items() and "teacher_weights" not in record.cell:
            path = store.weights_path(record.key)
            if path.is_file():
                return path
    raise ValueError(
        f"teacher-of {backend!r}: the store {store.path} holds no weights of {teacher!r} on {dataset}, scale "
        f"{selection.scale}, {dtype}, trained by {backend}; train it first: "
        f"`nox -s {backend} -- distill --method sft --seeds 1` with the same pair, data set, scale and store"
    )
