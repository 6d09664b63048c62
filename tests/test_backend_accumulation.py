"""Parts of a batch with one normalizer add up to the whole batch's loss, and shifted labels are the next tokens."""

import numpy as np
import pytest

from reference.grid import draw_logits

PARTS, ROWS, CLASSES = 4, 8, 12
SHAPE = (PARTS, ROWS, CLASSES)
NAMES = ["kd_loss", "dkd_loss", "abdkd_loss", "lsd_loss", "ablsd_loss", "ttm_loss", "abttm_loss", "wttm_loss", "sequence_loss"]


@pytest.fixture(scope="module")
def batch():
    """Logits of parts that count differently many rows, labels, and weights."""
    random = np.random.RandomState(0)
    student, teacher = (z.reshape(SHAPE) for z in draw_logits(CLASSES, "1", "float32", PARTS * ROWS, 3))
    labels = random.randint(0, CLASSES, (PARTS, ROWS))
    labels[0, 2:] = labels[2, 5:] = -100
    return student, teacher, labels, random.uniform(0.1, 2.0, (PARTS, ROWS))


def accumulated(call, batch, normalizer):
    parts = [call(*part, normalizer=normalizer) for part in zip(*batch, strict=True)]
    return sum(value for value, _ in parts), np.stack([gradient for _, gradient in parts])


def assert_adds_up(call, batch, normalizer):
    value, gradient = accumulated(call, batch, normalizer)
    want_value, want = call(*batch, normalizer=None)
    assert value == pytest.approx(want_value, rel=1e-6)
    assert np.abs(gradient - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("as_array", [False, True])
def test_parts_of_abkd_loss_add_up(backend, batch, weighted, as_array):
    """`num_items_in_batch`, as trainers count it over the parts: a number, or a scalar of integers."""

    def call(student, teacher, labels, weights, normalizer):
        options = {"weights": weights} if weighted else {}
        return backend.objective_and_gradient(
            student, teacher, labels, alpha=0.8, beta=0.2, temperature=2.0, normalizer=normalizer, **options
        )

    valid = batch[2] != -100
    count = float((batch[3] * valid).sum()) if weighted else int(valid.sum())
    assert_adds_up(call, batch, np.array(count) if as_array else count)


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_objectives_add_up(backend, batch, name):
    def call(student, teacher, labels, weights, normalizer):
        options = {"weights": weights, "normalizer": normalizer}
        return backend.named_objective_and_gradient(name, student, teacher, labels, options, "float32")

    counts = batch[2] != -100 if "dkd" in name or name == "sequence_loss" else np.ones((PARTS, ROWS))
    assert_adds_up(call, batch, float((batch[3] * counts).sum()))


def test_a_mean_of_means_is_not_the_mean(backend, batch):
    """What one gets without a normalizer, where the parts count differently many rows."""

    def call(student, teacher, labels, weights, normalizer):
        return backend.objective_and_gradient(student, teacher, labels, alpha=0.8, beta=0.2, normalizer=normalizer)

    value, _ = accumulated(call, batch, None)
    assert abs(value / PARTS / call(*batch, normalizer=None)[0] - 1) > 0.01


def shifted(labels, weights):
    return (
        np.concatenate([labels[..., 1:], np.full_like(labels[..., :1], -100)], -1),
        np.concatenate([weights[..., 1:], np.zeros_like(weights[..., :1])], -1),
    )


def test_shift_takes_input_ids_as_labels(backend, batch):
    """logits[t] predict labels[t + 1]; the last logits predict what is not there."""
    student, teacher, labels, weights = batch
    next_labels, next_weights = shifted(labels, weights)
    for options in ({}, {"reduction": "sequence_mean"}, {"reduction": "sum"}, {"normalizer": 5}):

        def sequence(labels, shift, weights, options=options):
            given = {**options, "shift": shift, "weights": weights}
            return backend.named_objective_and_gradient("sequence_loss", student, teacher, labels, given, "float32")

        got, want = sequence(labels, True, weights), sequence(next_labels, False, next_weights)
        assert got[0] == want[0]
        np.testing.assert_array_equal(got[1], want[1])
        assert not got[1][..., -1, :].any()
    for reduction in ("mean", "sum", "none"):

        def abkd(labels, shift, weights, reduction=reduction):
            options = {"reduction": reduction, "shift": shift, "weights": weights}
            return backend.objective_and_gradient(student, teacher, labels, alpha=0.8, beta=0.2, **options)

        for one, other in zip(abkd(labels, True, weights), abkd(next_labels, False, next_weights), strict=True):
            np.testing.assert_array_equal(one, other)


def test_shifted_labels_teach_the_next_token(backend):
    """A student that is trained on what it has just read would copy; with shift=True its gradient points at what follows."""
    ids = np.array([[3, 1, 2, 0]])
    student = np.zeros((1, 4, 5))
    _, gradient = backend.objective_and_gradient(student, student, ids, alpha=1.0, beta=0.0, shift=True)
    np.testing.assert_array_equal(gradient[0, :3].argmin(-1), ids[0, 1:])
    assert not gradient[0, 3].any()


def test_shift_needs_an_axis_of_tokens(backend):
    with pytest.raises(ValueError, match="shift"):
        backend.objective_and_gradient(np.zeros(3), np.zeros(3), np.array(1), alpha=1.0, beta=0.0, shift=True)
