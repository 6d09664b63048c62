"""Records of cells and the store that keeps them."""

from results.records.record import SCHEMA_VERSION, STATUSES, Record, RecordError, Status
from results.records.store import Store, StoreError

__all__ = ["SCHEMA_VERSION", "STATUSES", "Record", "RecordError", "Status", "Store", "StoreError"]
