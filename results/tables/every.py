"""Every table for which the store holds records."""

from results.grouping import Comparable
from results.records.record import Record
from results.tables import agreement, framework_steps, frameworks, methods, paired, precisions, published, speed, sweeps, traces
from results.tables.table import Table


def tables(records: list[Record], metric: str = "test/accuracy", baseline: str | None = None) -> list[Table]:
    """Every table for which there are records.

    Args:
        records: what to compare; of several records of one training the newest counts, of several states of the code too.
        metric: the metric of the tables of methods.
        baseline: the method that the others are compared with (`results.tables.paired`); None for a usual one.

    Raises:
        ValueError: no student was trained with `baseline`.
    """
    records = Comparable.of(records)
    single = (
        precisions.table(records, metric),
        published.table(records),
        traces.table(records),
        agreement.table(records),
        speed.timings(records),
        speed.throughput(records),
    )
    return [
        *methods.methods(records, metric),
        *methods.data_sets(records, metric),
        *paired.tables(records, metric, baseline),
        *sweeps.tables(records, metric),
        *frameworks.tables(records, metric),
        *framework_steps.tables(records),
        *(table for table in single if table is not None),
    ]
