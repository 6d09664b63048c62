"""What labels must be."""

from typing import Any

import tensorflow as tf

from ...common.arguments import check_label_shape


def as_labels(labels: Any, logits: tf.Tensor) -> tf.Tensor:
    """Class indices that fit the logits."""
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise TypeError(f"labels has type {labels.dtype.name}; class indices must be integers")
    if logits.shape.is_fully_defined() and labels.shape.is_fully_defined():
        check_label_shape(logits.shape, labels.shape)
    return labels
