"""Corruptions do what their names and strengths say, and the same everywhere."""

from math import erf, sqrt

import numpy as np
import pytest

from suites import datasets
from suites.tasks.classification import corruptions
from suites.tasks.classification.corruptions import CORRUPTIONS, SEVERITIES, corrupt, corrupted_test_images, metric_name


def _grey(value, count=4, side=32):
    return np.full((count, side, side, 3), value, np.uint8)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_its_standard_deviation_and_no_other_mean_than_rounding_down_gives(severity):
    sigma = CORRUPTIONS["gaussian_noise"].strengths[severity - 1]
    noise = corrupt(_grey(128, 40), "gaussian_noise", severity).astype(float) - 128
    assert noise.std() / 255 == pytest.approx(sigma, rel=0.02)
    assert noise.mean() == pytest.approx(-0.5, abs=5 * sigma * 255 / sqrt(noise.size))
    assert np.mean(np.abs(noise + 0.5) < sigma * 255) == pytest.approx(erf(1 / sqrt(2)), abs=0.03)


def test_noise_of_an_image_depends_on_seed_and_place_alone(monkeypatch):
    images = np.random.RandomState(0).randint(0, 256, (9, 5, 5, 1)).astype(np.uint8)  # 25 values, no multiple of 4
    whole = corrupt(images, "gaussian_noise", 3)
    assert np.array_equal(corrupt(images[4:], "gaussian_noise", 3, first=4), whole[4:])
    assert not np.array_equal(corrupt(images, "gaussian_noise", 3, seed=1), whole)
    monkeypatch.setattr(corruptions, "CHUNK", 2)
    assert np.array_equal(corrupt(images, "gaussian_noise", 3), whole)
    same = corrupt(_grey(128, 2), "gaussian_noise", 3)
    assert not np.array_equal(same[0], same[1])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_spreads_a_dot_over_its_own_channel_by_sigma(severity):
    sigma = CORRUPTIONS["gaussian_blur"].strengths[severity - 1]
    images = _grey(0, 2)
    images[0, 16, 16, 1] = 255
    blurred = corrupt(images, "gaussian_blur", severity)
    assert not blurred[1].any() and not blurred[0][..., [0, 2]].any()
    weights = np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2)
    weights[np.abs(np.arange(-8, 9)) > int(4 * sigma + 0.5)] = 0
    weights /= weights.sum()
    expected = np.outer(weights, weights) * 255
    assert np.abs(blurred[0, 8:25, 8:25, 1] - expected).max() <= 1


def test_blur_leaves_even_images_alone():
    assert np.abs(corrupt(_grey(77), "gaussian_blur", 5).astype(int) - 77).max() <= 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_shrinks_each_image_to_its_own_channels_means(severity):
    factor = CORRUPTIONS["contrast"].strengths[severity - 1]
    images = np.random.RandomState(1).randint(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    images[1] //= 2
    mean = images.mean(axis=(1, 2), keepdims=True)
    result = corrupt(images, "contrast", severity)
    assert np.abs(result - (mean + factor * (images - mean))).max() <= 1


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_severity_changes_more_than_the_one_before(kind):
    images = datasets.load("digits").test.images[:200]
    before = images.copy()
    change = [np.abs(corrupt(images, kind, s, largest=16.0).astype(float) - images).mean() for s in SEVERITIES]
    assert change == sorted(change) and change[0] < change[-1]
    assert np.array_equal(images, before)
    assert corrupt(images, kind, 5, largest=16.0).max() <= 16


def test_a_data_set_is_corrupted_in_every_way_at_the_measured_severities():
    data = datasets.load("digits")
    found = {(kind, severity): images for kind, severity, images in corrupted_test_images(data)}
    assert len(found) == 9 and all(images.shape == data.test.images.shape for images in found.values())
    assert metric_name("contrast", 3) == "test/accuracy_contrast_3"


def test_what_is_not_allowed_is_named():
    with pytest.raises(ValueError, match="kind='fog'.*gaussian_noise"):
        corrupt(_grey(1), "fog", 1)
    with pytest.raises(ValueError, match="severity=6"):
        corrupt(_grey(1), "contrast", 6)
    with pytest.raises(ValueError, match="float64"):
        corrupt(_grey(1) / 255, "contrast", 1)
