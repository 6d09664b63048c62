"""Training throughput beside plain training loops of the same framework."""
