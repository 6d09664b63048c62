"""How good a classifier is on the test images, looked at in parts so that memory does not grow with their number."""

from typing import Any

import numpy as np

from suites.datasets.images import ImageDataset
from suites.tasks.classification import metrics
from suites.tasks.classification.corruptions import corrupted_test_images, metric_name
from suites.tasks.task import Evaluation

# images that a harness computes at once, and those that are handed to it at once: a multiple of the former
BATCH_SIZE = 512
PART = 8 * BATCH_SIZE


def predict(harness: Any, network: Any, data: ImageDataset, images: np.ndarray | None = None) -> np.ndarray:
    """Logits float64 `[images, classes]` of the test images, or of others that lie in their place (uint8)."""
    images = data.test.images if images is None else images
    # The last part has more than a batch: a backend may compute a smaller last batch otherwise than one that stands alone,
    # and parts must change no digit.
    starts = range(0, max(1, len(images) - BATCH_SIZE), PART)
    ends = [*starts[1:], len(images)]
    parts = [
        harness.predict(network, data.normalisation(images[start:end]), BATCH_SIZE)
        for start, end in zip(starts, ends, strict=True)
    ]
    return np.concatenate(parts)


def evaluate(
    harness: Any,
    network: Any,
    data: ImageDataset,
    outputs: np.ndarray | None = None,
    teacher_outputs: np.ndarray | None = None,
    whole: bool = False,
) -> Evaluation:
    """Accuracy and likelihood of the labels; where `whole` also the calibration and the agreement with the teacher."""
    logits = predict(harness, network, data) if outputs is None else outputs
    measured = {
        "test/accuracy": metrics.accuracy(logits, data.test.labels),
        "test/nll": metrics.negative_log_likelihood(logits, data.test.labels),
    }
    if whole:
        measured["test/ece"] = metrics.calibration_error(logits, data.test.labels)
    if whole and teacher_outputs is not None:
        measured["test/teacher_agreement"] = metrics.teacher_agreement(logits, teacher_outputs)
    return Evaluation(measured, logits)


def accuracy_on_corrupted_images(harness: Any, network: Any, data: ImageDataset) -> dict[str, float]:
    """Accuracy by kind and severity of corruption, and its mean; nothing where the data set asks for none."""
    if not data.corruptions:
        return {}
    measured = {
        metric_name(kind, severity): metrics.accuracy(predict(harness, network, data, images), data.test.labels)
        for kind, severity, images in corrupted_test_images(data)
    }
    return measured | {"test/accuracy_corrupted": float(np.mean(list(measured.values())))}
