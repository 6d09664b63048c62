"""The gate: records against the committed baselines."""
