"""Image classification as a task."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backends.common import networks
from suites.datasets.images import ImageDataset
from suites.tasks.classification import evaluation
from suites.tasks.classification.batches import training_batches
from suites.tasks.task import Task


def network(name: str, facts: Mapping[str, Any]) -> networks.ModelSpec:
    """Specification of a network for images of a data set."""
    return networks.get(name, input_shape=facts["input_shape"], classes=facts["classes"])


def first_inputs(data: ImageDataset, count: int) -> np.ndarray:
    """Inputs of the first test images, float32 `[count, height, width, channels]`."""
    return data.normalisation(data.test.images[:count])


TASK = Task(
    name="classification",
    network=network,
    batches={"fixed": training_batches},
    inputs=first_inputs,
    evaluate=evaluation.evaluate,
    judged_by="test/accuracy",
    examine=evaluation.accuracy_on_corrupted_images,
)
