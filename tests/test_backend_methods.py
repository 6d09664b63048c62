"""Every method's training loss: hard_weight · CE + factor · distill_weight · L, with L of the reference."""

import inspect
from importlib import import_module

import numpy as np
import pytest
from conftest import CHOSEN

from backends.common import methods, networks
from reference import objectives
from reference.catalogue import DIVERGENCES
from reference.objectives import cross_entropy

SHAPE, CLASSES, ROWS = (8, 8, 1), 6, 12
SPEC = networks.get("convnet-4", input_shape=SHAPE, classes=CLASSES)
AB = {"alpha": 0.7, "beta": 0.4}
DKD = {"temperature": 3.0, "target_weight": 0.5, "non_target_weight": 4.0}
# the parameters given, and L: a function, its arguments, and a factor
CASES = {
    "kd": ({"temperature": 3.0}, "kd_loss", {"temperature": 3.0}, 1.0),
    "rkld": ({"temperature": 3.0}, "reverse_kl", {"temperature": 3.0}, 9.0),
    "abkd": ({**AB, "temperature": 3.0}, "ab_divergence", {**AB, "temperature": 3.0}, 1.0),
    "dkd": (DKD, "dkd_loss", DKD, 1 / 20),
    "lsd": ({}, "lsd_loss", {"temperature": 2.0}, 1.0),
    "ttm": ({"gamma": 0.3}, "ttm_loss", {"gamma": 0.3}, 1.0),
    "wttm": ({"gamma": 0.3}, "wttm_loss", {"gamma": 0.3}, 1.0),
    "dist": ({"temperature": 2.0}, "dist_loss", {"temperature": 2.0}, 1.0),
    "abdkd": ({**AB, **DKD, "warm_up_epochs": 4}, "abdkd_loss", {**AB, **DKD}, 1 / 4),
    "ablsd": ({**AB, "temperature": 3.0}, "ablsd_loss", {**AB, "temperature": 3.0}, 1.0),
    "abttm": ({**AB, "gamma": 0.3}, "abttm_loss", {**AB, "gamma": 0.3}, 1.0),
    "jsd": ({"weight": 0.3}, "jensen_shannon", {"weight": 0.3}, 1.0),
    "tvd": ({}, "total_variation", {}, 1.0),
    "wsd": ({}, "weighted_sum", {"weight": 0.5}, 1.0),
    "skew-kl": ({}, "skewed_forward_kl", {"weight": 0.1}, 1.0),
    "skew-rkl": ({"weight": 0.2}, "skewed_reverse_kl", {"weight": 0.2}, 1.0),
    "akl": ({}, "adaptive_kl", {"head": 0.5}, 1.0),
    "bdkd": ({}, "bidirectional_kl", {"low": 1.0, "high": 3.0}, 1.0),
    "alphanet": ({}, "alphanet", {"alpha_min": 0.2, "alpha_max": 0.8}, 1.0),
}


def build(backend, seed):
    return backend.build_model(SPEC, networks.initial_weights(SPEC, seed), "float64")


def images_and_labels():
    random = np.random.RandomState(0)
    labels = random.randint(0, CLASSES, ROWS)
    partly = labels.copy()
    partly[[1, 5, 6]] = -100
    return random.standard_normal((ROWS, *SHAPE)), labels, partly


@pytest.fixture(scope="module")
def logits(backend):
    """The student's logits in training mode and the teacher's in evaluation mode, from a step that changes nothing.

    The running statistics after one step tell those of the batch, with which evaluation is what training mode was.
    """
    images, labels, _ = images_and_labels()
    student = build(backend, 1)
    before = backend.export_weights(student)
    backend.train(
        None, student, [(images, labels)], dtype="float64", method="sft", learning_rate=lambda step: 0.0, progress=False
    )
    weights = dict(before)
    for name, after in backend.export_weights(student).items():
        if "running" in name:
            batch = (after - 0.9 * before[name]) / 0.1
            count = ROWS * SHAPE[0] * SHAPE[1]
            weights[name] = batch * (count - 1) / count if name.endswith("var") else batch
    return backend.predict(backend.build_model(SPEC, weights, "float64"), images), backend.predict(build(backend, 2), images)


def expected(name, parameters, student, teacher, labels):
    """L by the NumPy reference in float64."""
    if name in DIVERGENCES:
        own = [value for key, value in parameters.items() if key != "temperature"]
        return DIVERGENCES[name].reference(
            student, teacher, *own, temperature=parameters.get("temperature", 1.0), reduction="mean"
        )[0]
    function = getattr(objectives, f"{name}_and_gradient")
    labelled = (labels,) if "labels" in inspect.signature(function).parameters else ()
    return function(student, teacher, *labelled, **parameters)[0]


def test_the_cases_are_all_methods():
    assert CASES.keys() | {"sft"} == methods.METHODS.keys()


@pytest.mark.parametrize("method", CASES)
def test_the_objective_takes_the_methods_parameters(backend, method):
    """All rows, without compiling anything: their functions are there and have arguments of these names."""
    modules = [import_module(f"backends.{CHOSEN}.{name}") for name in ("objectives", "divergences")]
    chosen = methods.resolve(method, **CASES[method][0])
    function = next(getattr(module, chosen.term) for module in modules if hasattr(module, chosen.term))
    labelled = ("labels",) if "labels" in inspect.signature(function).parameters else ()
    inspect.signature(function).bind("student", "teacher", *labelled, **chosen.parameters)


# where each loss takes seconds to compile, one of each kind: the others differ in a name that the test above checks
MEASURED = CASES if CHOSEN == "torch" else ("kd", "abkd", "dkd", "lsd", "wttm", "abttm", "dist", "jsd")


@pytest.mark.parametrize("method", MEASURED)
def test_training_loss_is_the_objective(backend, logits, method):
    given, name, parameters, factor = CASES[method]
    images, labels, partly = images_and_labels()
    student, teacher = logits
    batches = [(images, labels)] + ([] if method == "dist" else [(images, partly)])
    result = backend.train(
        build(backend, 2),
        build(backend, 1),
        batches,
        dtype="float64",
        method=method,
        hard_weight=0.3,
        distill_weight=2.0,
        learning_rate=lambda step: 0.0,
        progress=False,
        **given,
    )
    for loss, chosen in zip(result.step_losses, (labels, partly), strict=False):
        rows = chosen != -100
        arguments = student[rows], teacher[rows], chosen[rows]
        want = 0.3 * cross_entropy(student[rows], chosen[rows])
        want += 2.0 * factor * expected(name, parameters, *arguments)
        assert loss == pytest.approx(want, rel=1e-9)


def test_warm_up_grows_with_the_epoch_and_compiles_once(backend, logits):
    images, labels, _ = images_and_labels()
    result = backend.train(
        build(backend, 2),
        build(backend, 1),
        [(images, labels)],
        dtype="float64",
        method="dkd",
        warm_up_epochs=3,
        hard_weight=0.0,
        learning_rate=lambda step: 0.0,
        epochs=5,
        progress=False,
    )
    np.testing.assert_allclose(result.step_losses / result.step_losses[-1], [1 / 3, 2 / 3, 1, 1, 1], rtol=1e-10)


def test_an_objective_of_the_whole_batch_refuses_rows_left_out(backend):
    images, _, partly = images_and_labels()
    with pytest.raises(ValueError, match="-100.*'dist'"):
        backend.train(
            build(backend, 2),
            build(backend, 1),
            [(images, partly)],
            dtype="float64",
            method="dist",
            learning_rate=0.1,
            progress=False,
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "ttm", "temperature": 2.0}, "temperature=2.0.*'ttm'.*gamma, distill_weight, hard_weight"),
        ({"method": "kd", "gamma": 0.1}, "gamma=0.1.*'kd'.*temperature, distill_weight"),
        ({"method": "dkd", "warm_up_epochs": -1}, "warm_up_epochs=-1"),
        ({"method": "ttm", "gamma": 0.0}, "gamma=0.0"),
        ({"method": "jsd", "weight": 1.0}, "weight=1.0"),
        ({"method": "sft", "distill_weight": 2.0}, "distill_weight=2.0.*'sft'.*hard_weight"),
        ({"method": "abkd", "alpha": 1.0}, "needs beta"),
    ],
)
def test_parameters_that_do_not_fit_are_named_with_those_that_do(backend, arguments, message):
    images, labels, _ = images_and_labels()
    with pytest.raises(ValueError, match=message):
        backend.train(build(backend, 2), build(backend, 1), [(images, labels)], learning_rate=0.1, **arguments)
