"""What is known of metrics by their names."""

# Metrics of which more is better; of all others (losses, errors, times, memory) less is.
_HIGHER = ("accuracy", "agreement", "rouge_l", "base", "new", "harmonic_mean", "percent_of_copy", "images_per_s", "times_plain")


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of a metric is the better one."""
    return metric.split("/")[-1] in _HIGHER or metric == "test/teacher_agreement"
