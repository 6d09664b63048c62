"""Images of your own and a network of your own, without changing a file of this project.

    export ABKD_DATA=/where/my/data/lie        # holds my_images.npz: train_images, train_labels, test_images, test_labels
    python -m suites distill --plugin docs/plugin_example.py --dataset my-images --backend torch

(or jax, or tensorflow). Everything that the file adds is chosen by its name, like what was there before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends.common.networks import Family, ModelSpec, Parameter
from suites.datasets.dataset import Dataset
from suites.datasets.images import ImageDataset, Normalisation, Split
from suites.datasets.places import data_folder
from suites.distill.recipes.papers import METHODS
from suites.distill.recipes.recipe import DatasetRecipes, Value

# the data set: what is known of it without reading it, where it lies, and how it is read ---------------------------------


def files(scale: str) -> tuple[Path, ...]:
    """The files that decide its content; a changed file makes cells run again."""
    return (data_folder() / "my_images.npz",)


def load(scale: str, seed: int | None) -> ImageDataset:
    """Images uint8 `[images, height, width, channels]` with labels from 0."""
    with np.load(files(scale)[0]) as arrays:
        train, test = (Split(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in ("train", "test"))
    names = tuple(str(label) for label in range(10))
    return ImageDataset("my-images", "images of my own", train, test, names, Normalisation(mean=(0.5,), std=(0.5,)))


MY_IMAGES = Dataset(
    name="my-images",
    title="Images of my own",
    task="classification",
    get="put my_images.npz into the data folder",
    facts=lambda scale: {"input_shape": (8, 8, 1), "classes": 10},
    load=load,
    files=files,
)

# its recipes: every number has a source, "declared by this project" where none is given ----------------------------------

MINE = "chosen by me"
TRAINING = {
    "epochs": Value(5, MINE),
    "batch_size": Value(32, MINE),
    "learning_rate": Value(0.1, MINE),
    "warm_up_steps": Value(0, MINE),
    "schedule": Value("cosine", MINE),
    "momentum": Value(0.9, MINE),
    "weight_decay": Value(5e-4, MINE),
}
RECIPES = DatasetRecipes(
    teachers={"smoke": TRAINING},
    students={"smoke": TRAINING},
    methods=METHODS,
    default_pair={"smoke": "convnet-8-16:perceptron-16"},
    default_methods={"smoke": ("sft", "kd", "abkd")},
    default_seeds={"smoke": 1},
)

# the network: its arrays, and a builder for each framework that it is to be trained in -----------------------------------


@dataclass(frozen=True)
class PerceptronSpec(ModelSpec):
    """A network with one hidden layer."""

    inputs: int
    width: int
    classes: int


def read(name: str, facts: Mapping[str, Any]) -> PerceptronSpec | None:
    """ "perceptron-16" has 16 hidden units; other names are another family's."""
    family, _, width = name.partition("-")
    if family != "perceptron" or not width.isdecimal():
        return None
    return PerceptronSpec(name, "perceptron", int(np.prod(facts["input_shape"])), int(width), facts["classes"])


def parameters(spec: PerceptronSpec) -> Iterator[tuple[str, Parameter]]:
    """Names and shapes as PyTorch has them, `[out, in]`; initial values, which all frameworks share."""
    for name, out, into in (("hidden", spec.width, spec.inputs), ("output", spec.classes, spec.width)):
        bound = 1 / into**0.5
        yield f"{name}.weight", Parameter((out, into), "uniform", bound, layout="linear")
        yield f"{name}.bias", Parameter((out,), "uniform", bound)


def for_torch() -> Any:
    """PyTorch's images are `[batch, channels, height, width]`."""
    from torch import nn

    class Perceptron(nn.Module):
        def __init__(self, spec: PerceptronSpec) -> None:
            super().__init__()
            self.hidden, self.output = nn.Linear(spec.inputs, spec.width), nn.Linear(spec.width, spec.classes)

        def forward(self, images):
            return self.output(self.hidden(images.permute(0, 2, 3, 1).flatten(1)).relu())

    return Perceptron


def for_jax() -> Any:
    """JAX' images are `[batch, height, width, channels]`."""
    from flax import nnx

    class Perceptron(nnx.Module):
        def __init__(self, spec: PerceptronSpec, *, rngs, dtype) -> None:
            self.hidden = nnx.Linear(spec.inputs, spec.width, param_dtype=dtype, rngs=rngs)
            self.output = nnx.Linear(spec.width, spec.classes, param_dtype=dtype, rngs=rngs)

        def __call__(self, images):
            return self.output(nnx.relu(self.hidden(images.reshape(len(images), -1))))

    return Perceptron


def for_tensorflow() -> Any:
    """TensorFlow's images are `[batch, height, width, channels]`."""
    import keras

    def build(spec: PerceptronSpec, dtype: str) -> keras.Model:
        inputs = keras.Input((8, 8, 1), dtype=keras.DTypePolicy(dtype).variable_dtype)
        hidden = keras.layers.Dense(spec.width, "relu", name="hidden", dtype=dtype)(keras.layers.Flatten(dtype=dtype)(inputs))
        outputs = keras.layers.Dense(spec.classes, name="output", dtype=dtype)(hidden)
        return keras.Model(inputs, outputs, name=spec.name)

    return build


def register(add) -> None:
    """What `--plugin` calls."""
    add.dataset(MY_IMAGES)
    add.recipes("my-images", RECIPES)
    builders = {"torch": for_torch, "jax": for_jax, "tensorflow": for_tensorflow}
    add.model("perceptron", Family(read, parameters, "perceptron and its width, e.g. perceptron-16"), builders)
