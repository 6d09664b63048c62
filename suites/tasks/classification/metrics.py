"""Metrics of a classifier from its logits. All are plain numbers; shares lie between 0 and 1."""

import numpy as np
from scipy.special import log_softmax


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest logit is the label's. logits `[rows, classes]`, labels `[rows]`."""
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of −log softmax(logits)[label], in nats. logits `[rows, classes]`, labels `[rows]`."""
    chosen = np.take_along_axis(log_softmax(np.asarray(logits, np.float64), axis=-1), labels[:, np.newaxis], axis=-1)
    return float(-np.mean(chosen))


def calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the predicted class, `bins` bins of equal width over (0, 1].

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3, with their 15 bins.
    """
    probabilities = np.exp(log_softmax(np.asarray(logits, np.float64), axis=-1))
    confidence = probabilities.max(axis=-1)
    correct = np.argmax(logits, axis=-1) == labels
    # a bin is open below and closed above, so a confidence of exactly 1 belongs to the last one
    index = np.clip(np.ceil(np.nan_to_num(confidence) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def teacher_agreement(logits: np.ndarray, teacher_logits: np.ndarray) -> float:
    """Share of rows where student and teacher predict the same class. Both `[rows, classes]`."""
    return float(np.mean(np.argmax(logits, axis=-1) == np.argmax(teacher_logits, axis=-1)))
