"""Records, MLflow, comparison and gate. Knows no framework and no suite: what it reads is records."""

from results.records.record import SCHEMA_VERSION, STATUSES, Record, Status
from results.records.store import Store, StoreError

__all__ = ["SCHEMA_VERSION", "STATUSES", "Record", "Status", "Store", "StoreError"]
