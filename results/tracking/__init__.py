"""MLflow, fed from the records."""
