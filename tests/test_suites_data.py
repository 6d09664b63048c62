"""Digits, batches, metrics and keys."""

from dataclasses import replace

import numpy as np
import pytest

from suites import datasets, keys
from suites.cell import Cell, options
from suites.distill import cells
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.distill.schedules import learning_rate
from suites.selection import Selection
from suites.suite import Context
from suites.tasks.classification import metrics
from suites.tasks.classification.batches import Batches, epoch_order


def test_digits_are_stratified_halves_of_real_images():
    data = datasets.load("digits")
    assert data.train.images.shape == (898, 8, 8, 1) and data.test.images.shape == (899, 8, 8, 1)
    inputs = data.normalisation(data.train.images)
    assert inputs.dtype == np.float32 and np.array_equal(inputs, data.train.images / 8 - 1)
    assert inputs.min() == -1 and inputs.max() == 1
    counts = np.bincount(data.train.labels), np.bincount(data.test.labels)
    assert np.abs(counts[0] - counts[1]).max() <= 1
    # other halves would be another benchmark
    assert data.digest == datasets.load("digits").digest and len(data.digest) == 32


def test_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    orders = {(seed, epoch): tuple(epoch_order(898, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert all(sorted(order) == list(range(898)) for order in orders.values())
    assert list(epoch_order(10, 0, 0)) == list(epoch_order(10, 0, 0))


def test_the_stream_behind_the_order_is_frozen():
    assert list(epoch_order(8, 3, 5)) == ORDER_8_3_5


ORDER_8_3_5 = [0, 6, 2, 1, 3, 4, 7, 5]


def test_batches_go_through_a_new_order_each_epoch_and_drop_the_rest():
    data = datasets.load("digits")
    batches = Batches(data, 64, seed=0)
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == 14
    assert not np.array_equal(first[0][1], second[0][1])
    again = list(Batches(data, 64, seed=0))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    with pytest.raises(ValueError, match="batch_size=0"):
        Batches(data, 0, seed=0)


def test_metrics_of_known_logits():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]]))
    labels = np.array([0, 1, 2, 1])
    assert metrics.accuracy(logits, labels) == 0.75
    assert metrics.negative_log_likelihood(logits, labels) == pytest.approx(-np.mean(np.log([0.7, 0.3, 0.8, 0.4])))
    # four bins of one row each: |1 − .7|, |0 − .6|, |1 − .8|, |1 − .4|
    assert metrics.calibration_error(logits, labels) == pytest.approx((0.3 + 0.6 + 0.2 + 0.6) / 4)
    assert metrics.teacher_agreement(logits, logits[::-1]) == 0.0
    assert metrics.teacher_agreement(logits, logits) == 1.0


def test_calibration_error_of_a_calibrated_classifier_is_small_and_of_a_sure_one_is_its_error():
    random = np.random.RandomState(0)
    logits = random.standard_normal((20_000, 10))
    q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = (q.cumsum(-1) < random.uniform(size=(len(q), 1))).sum(-1)
    assert metrics.calibration_error(logits, labels) < 0.02
    sure = metrics.calibration_error(logits * 1000, labels)
    assert sure == pytest.approx(1 - metrics.accuracy(logits, labels), abs=0.01)


def test_learning_rate_rises_then_falls_to_zero():
    recipe = find.student_recipe("digits", "smoke", "digits-teacher:digits-student", "kd").training
    rate = learning_rate(recipe, steps_per_epoch=14)
    total = recipe["epochs"] * 14
    values = [rate(step) for step in range(total)]
    assert max(values) == pytest.approx(recipe["learning_rate"]) and values.index(max(values)) == recipe["warm_up_steps"]
    assert values[-1] < 0.001 * recipe["learning_rate"] and min(values) > 0


def test_learning_rate_falls_at_the_milestones():
    recipe = find.student_recipe("cifar100", "paper", "resnet56:resnet20", "abkd").training
    rate = learning_rate(recipe, steps_per_epoch=781)
    found = [rate(epoch * 781) for epoch in (0, 149, 150, 179, 180, 209, 210, 239)]
    assert found == pytest.approx([0.05, 0.05, 0.005, 0.005, 5e-4, 5e-4, 5e-5, 5e-5])
    assert rate(150 * 781 - 1) == 0.05


def test_recipes_of_a_pair_differ_where_the_papers_say_so():
    def value(pair, method, name):
        return find.method_values("cifar100", pair, method, "paper")[name]

    assert value("resnet32x4:resnet8x4", "dkd", "non_target_weight").value == 8
    assert value("resnet56:resnet20", "dkd", "non_target_weight").value == 2
    assert value("resnet110:resnet20", "lsd", "temperature").value == 4
    assert "declared" in value("vgg13:vgg8", "abkd", "alpha").source
    assert "script" in value("resnet56:resnet20", "abkd", "alpha").source
    assert value("resnet56:resnet20", "tvd", "distill_weight").value == 32


def test_dkds_warm_up_takes_the_same_share_of_a_shorter_training():
    def epochs(dataset, scale):
        recipe = find.student_recipe(dataset, scale, "resnet56:resnet20", "abdkd")
        return recipe.method["warm_up_epochs"] / recipe.training["epochs"]

    share = pytest.approx(20 / 240)
    assert [epochs("cifar100", scale) for scale in ("smoke", "small", "paper")] == [share] * 3
    assert epochs("digits", "smoke") == share
    selection = Selection(suites=("distill",), datasets=("cifar100",), methods=("abdkd",), scale="small")
    trace, student = (
        cell
        for cell in cells.cells(selection, _context())
        if cell.method == "abdkd" and not cell.seed and cell.dtype == "float32"
    )
    assert (trace.option("warm_up_epochs"), student.option("warm_up_epochs")) == (20, 1.25)
    for cell in (trace, student):
        assert "command line" not in cells.resolve(cell, _context()).recipe.sources().values()


def test_every_number_of_every_recipe_has_a_source():
    found = []
    for dataset, entry in find.RECIPES.items():
        for scale in entry.scales:
            pairs = {entry.default_pair[scale], *(pair for pair, _ in entry.pairs)}
            found.append(find.teacher_recipe(dataset, scale))
            found += [find.student_recipe(dataset, scale, p, m) for p in pairs for m in entry.methods]
    assert all(all(source for source in recipe.sources().values()) for recipe in found)


def _context(**description):
    return Context("torch", None, None, "cpu", description=description or {"threads": "2"})


def _key(cell, context=None):
    return cells.resolve(cell, context or _context()).key


def test_key_changes_with_all_that_decides_the_result_and_with_nothing_else():
    chosen = cells.cells(Selection(suites=("distill",), seeds=2), _context())
    assert len({_key(cell) for cell in chosen}) == len(chosen)
    cell = chosen[-1]
    assert _key(cell) == _key(cell, _context(threads="2", torch="9.9"))
    assert _key(cell) != _key(cell, _context(threads="1"))
    assert _key(cell) != _key(cell, _context(threads="2", deterministic="False"))


def test_key_of_a_student_changes_with_its_teachers_recipe(monkeypatch):
    student = cells.cells(Selection(suites=("distill",), seeds=1, methods=("kd",)), _context())[-1]
    before = _key(student)
    digits = find.RECIPES["digits"]
    changed = replace(digits, teachers={"smoke": digits.teachers["smoke"] | {"epochs": Value(1)}})
    monkeypatch.setitem(find.RECIPES, "digits", changed)
    assert _key(student) != before


def test_timing_key_changes_with_versions_and_hardware():
    environment = {"cpu": "one", "version.numpy": "1", "git_commit": "a"}
    key = keys.timing_key("k", {"torch": "1"}, environment)
    assert key == keys.timing_key("k", {"torch": "1"}, environment | {"git_commit": "b"})
    assert key != keys.timing_key("k", {"torch": "2"}, environment)
    assert key != keys.timing_key("k", {"torch": "1"}, environment | {"cpu": "two"})


def test_cell_describes_itself_without_what_it_lacks():
    cell = Cell("loss", backend="jax", options=options(beta=0.2, alpha=0.8, rows=64, classes=100, temperature=None))
    assert cell.as_dict() == {
        "backend": "jax",
        "scale": "smoke",
        "dtype": "float32",
        "device": "cpu",
        "alpha": 0.8,
        "beta": 0.2,
        "rows": 64,
        "classes": 100,
    }
    assert cell.label == "64×100 (0.8, 0.2) float32"
