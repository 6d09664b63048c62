"""Training batches: what image i is made into depends on seed, epoch and i alone, wherever and however it is asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.datasets.images import ImageDataset, Normalisation, Split
from suites.distill.reporting import Reported
from suites.streams import raw_stream
from suites.tasks.classification import evaluation
from suites.tasks.classification.augmentation import Augmentation, Draws
from suites.tasks.classification.batches import Batches, epoch_order, training_batches

SIZES = st.integers(3, 9)


def _dataset(count=23, height=6, width=5, channels=3, seed=0):
    random = np.random.RandomState(seed)
    images = random.randint(1, 256, (count, height, width, channels)).astype(np.uint8)
    labels = np.arange(count, dtype=np.int64) % 7
    part = Split(images, labels)
    mean, std = np.linspace(0.4, 0.5, channels), np.linspace(0.2, 0.3, channels)
    names = tuple("abcdefg")
    return ImageDataset("made", "here", part, Split(images[:10], labels[:10]), names, Normalisation(tuple(mean), tuple(std)))


def _by_row(batches, epoch=0, start=0):
    """{place in the data set: image} of an epoch."""
    order = epoch_order(len(batches.dataset.train), batches.seed, epoch)[start * batches.batch_size :]
    images = [image for inputs, _ in batches.epoch(epoch, start) for image in inputs]
    return {int(row): image for row, image in zip(order, images, strict=False)}


@settings(max_examples=60, deadline=None)
@given(
    pad=st.integers(0, 4),
    height=SIZES,
    width=SIZES,
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**40),
    flip=st.booleans(),
)
def test_a_crop_is_a_window_of_the_bordered_image_flipped_or_not(pad, height, width, channels, seed, flip):
    images = _dataset(7, height, width, channels, seed % 1000).train.images
    untouched = images.copy()
    augmentation = Augmentation(pad, flip)
    draws = augmentation.draws(seed, 3, len(images))
    result = augmentation.apply(images, draws)
    assert result.shape == images.shape and result.dtype == np.uint8 and np.array_equal(images, untouched)
    assert (draws.top <= 2 * pad).all() and (draws.left <= 2 * pad).all() and (draws.top >= 0).all()
    assert flip or not draws.flipped.any()
    for i, image in enumerate(images):
        bordered = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        top, left = draws.top[i], draws.left[i]
        window = bordered[top : top + height, left : left + width]
        assert np.array_equal(result[i], window[:, ::-1] if draws.flipped[i] else window)


def test_offsets_and_flips_are_uniform_and_independent():
    draws = Augmentation(4, True).draws(0, 0, 90_000)
    cells = np.bincount(draws.top * 18 + draws.left * 2 + draws.flipped, minlength=162)
    expected = 90_000 / 162
    chi2 = ((cells - expected) ** 2 / expected).sum()
    assert 161 - 5 * np.sqrt(322) < chi2 < 161 + 5 * np.sqrt(322)
    following = Augmentation(4, True).draws(0, 1, 90_000)
    assert abs(np.corrcoef(draws.top, following.top)[0, 1]) < 0.02
    # order and augmentation must not be read from the same stream
    assert abs(np.corrcoef(draws.top, np.argsort(epoch_order(90_000, 0, 0)))[0, 1]) < 0.02


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10_000), sizes=st.tuples(st.integers(1, 23), st.integers(1, 23)))
def test_an_image_is_the_same_at_every_batch_size(seed, epoch, sizes):
    data = _dataset()
    one, two = (_by_row(Batches(data, n, seed, augmentation=Augmentation(2, True)), epoch) for n in sizes)
    assert all(np.array_equal(one[row], two[row]) for row in one.keys() & two.keys())
    assert len(one) == 23 // sizes[0] * sizes[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), epoch=st.integers(0, 500), start=st.integers(0, 5))
def test_an_epoch_taken_up_in_the_middle_goes_on_as_it_would_have(seed, epoch, start):
    whole = list(Batches(_dataset(), 4, seed, augmentation=Augmentation(1, True)).epoch(epoch))
    batches = Batches(_dataset(), 4, seed, augmentation=Augmentation(1, True))
    rest = list(batches.epoch(epoch, start))
    assert len(whole) == 5 and len(rest) == 5 - start
    for (images, labels), (wanted, of) in zip(rest, whole[start:], strict=True):
        assert np.array_equal(images, wanted) and np.array_equal(labels, of)
    passes = [next(iter(batches)), next(iter(batches))]  # epoch after epoch, whatever was asked for beside
    assert all(np.array_equal(first[0], next(batches.epoch(number))[0]) for number, first in enumerate(passes))


def test_seeds_and_epochs_differ_and_repeat():
    def first(seed, epoch):
        return next(Batches(_dataset(), 8, seed, augmentation=Augmentation(2, True)).epoch(epoch))[0].tobytes()

    made = {(seed, epoch): first(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len(set(made.values())) == 9 and all(first(*key) == value for key, value in made.items())


def test_the_stream_behind_the_augmentation_is_frozen():
    draws = Augmentation(4, True).draws(seed=3, epoch=5, count=8)
    assert (list(draws.top), list(draws.left), list(draws.flipped.astype(int))) == FROZEN


FROZEN = ([5, 4, 0, 1, 7, 5, 8, 8], [8, 2, 3, 3, 4, 5, 5, 3], [0, 1, 1, 0, 1, 1, 0, 0])


def test_streams_can_be_entered_anywhere():
    whole = raw_stream("corruption", 1, 2, 40)
    assert np.array_equal(raw_stream("corruption", 1, 2, 8, first=32), whole[32:])
    assert not set(whole) & set(raw_stream("order", 1, 2, 40))
    for wrong in ({"first": 2}, {"count": -1}, {"seed": -1}, {"purpose": "weather"}):
        with pytest.raises(ValueError):
            raw_stream(**{"purpose": "order", "seed": 0, "epoch": 0, "count": 4} | wrong)


def test_an_epoch_holds_every_image_once_and_labels_stay_with_their_images():
    data = _dataset(24)
    plain = data.normalisation(data.train.images)
    seen = []
    for images, labels in Batches(data, 6, seed=1):
        assert images.dtype == np.float32 and labels.dtype == np.int64 and images.flags.c_contiguous
        for image, label in zip(images, labels, strict=True):
            (row,) = np.flatnonzero((plain == image).all(axis=(1, 2, 3)))
            assert label == data.train.labels[row]
            seen.append(row)
    assert sorted(seen) == list(range(24))


def test_batches_are_the_callers_to_change():
    data = _dataset()
    before = data.train.images.copy(), data.train.labels.copy()
    for augmentation in (None, Augmentation(0, True), Augmentation(2, True)):
        for images, labels in Batches(data, 5, 0, augmentation=augmentation):
            images[:], labels[:] = 0, 0
    assert np.array_equal(data.train.images, before[0]) and np.array_equal(data.train.labels, before[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalisation_is_pixel_minus_mean_over_std(dtype):
    data = _dataset()
    mean, std = np.array(data.normalisation.mean), np.array(data.normalisation.std)
    exact = (data.train.images / 255.0 - mean) / std
    found = data.normalisation(data.train.images, dtype)
    assert found.dtype == dtype
    assert np.abs(found - exact).max() <= 2 * np.finfo(dtype).eps * np.abs(exact).max()


class _Linear:
    """A harness whose logits depend on the images alone, and that notes how many it gets at once."""

    def __init__(self):
        self.asked = []

    def predict(self, network, inputs, batch_size):
        self.asked.append(len(inputs))
        return inputs.reshape(len(inputs), -1) * network


@pytest.mark.parametrize(("count", "parts"), [(7, [7]), (13, [13]), (29, [24, 5]), (26, [26]), (28, [28]), (60, [24, 36 - 12])])
def test_evaluation_goes_through_all_images_in_order_and_never_ends_with_less_than_a_batch(monkeypatch, count, parts):
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 4)
    monkeypatch.setattr(evaluation, "PART", 24)
    whole, harness = _dataset(count), _Linear()
    data = ImageDataset("made", "here", whole.train, whole.train, whole.class_names, whole.normalisation)
    found = evaluation.predict(harness, 2.0, data)
    assert np.array_equal(found, 2 * data.normalisation(data.test.images).reshape(count, -1))
    assert sum(harness.asked) == count and harness.asked[:1] == parts[:1] and all(n > 4 for n in harness.asked)
    others = evaluation.predict(harness, 1.0, data, 255 - data.test.images)
    assert np.array_equal(others, data.normalisation(255 - data.test.images).reshape(count, -1))


def test_batches_of_a_training_are_augmented_as_its_recipe_says():
    data = _dataset()
    plain, cropped = (training_batches({"batch_size": 5, **numbers}, data, 3) for numbers in ({}, {"pad": 2, "flip": True}))
    assert plain.augmentation is None and cropped.augmentation == Augmentation(2, True)
    assert len(training_batches({"batch_size": 5}, data, 3, steps=2)) == 2


def test_what_is_not_allowed_is_named():
    with pytest.raises(ValueError, match="start=6 must be 0 to 5"):
        Batches(_dataset(), 4, 0).epoch(0, 6)
    with pytest.raises(ValueError, match="batch_size=24"):
        Batches(_dataset(), 24, 0)


def test_draws_of_some_rows():
    draws = Draws(np.arange(4), np.arange(4) + 10, np.array([True, False, True, False]))
    chosen = draws.of(np.array([3, 0]))
    assert list(chosen.top) == [3, 0] and list(chosen.left) == [13, 10] and list(chosen.flipped) == [False, True]


def test_a_repeat_has_the_same_rows_in_each_batch_in_another_order():
    data, augmentation = _dataset(), Augmentation(2, True)
    usual, *repeats = (Batches(data, 5, 3, augmentation=augmentation, repeat=repeat) for repeat in range(3))
    for epoch in range(2):
        orders = set()
        for batches in zip(usual.epoch(epoch), *(repeat.epoch(epoch) for repeat in repeats), strict=True):
            rows = [[image.tobytes() + bytes([label]) for image, label in zip(*batch, strict=True)] for batch in batches]
            assert sorted(rows[0]) == sorted(rows[1]) == sorted(rows[2])
            orders.add((rows[0] == rows[1], rows[0] == rows[2], rows[1] == rows[2]))
        assert (False, False, False) in orders
    first, again = (next(Batches(data, 5, 3, repeat=1).epoch(1, 2))[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(first, list(Batches(data, 5, 3, repeat=1).epoch(1))[2][0])


def test_reported_batches_are_the_same_and_say_how_far_the_training_is():
    batches, shares = Batches(_dataset(), 5, 0), []
    reported = Reported(batches, 3, shares.append)
    assert len(reported) == len(batches) == 4
    for epoch in range(3):
        for (inputs, labels), (expected, targets) in zip(reported.epoch(epoch), batches.epoch(epoch), strict=True):
            assert np.array_equal(inputs, expected) and np.array_equal(labels, targets)
    assert shares == [step / 12 for step in range(12)]
    shares.clear()
    assert len(list(reported.epoch(1, 2))) == 2 and shares == [6 / 12, 7 / 12]
