"""Presets: known by name, passed on with **, and a misspelt one lists the others."""

import pytest

import reference.divergences as divergences
from reference import presets


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_goes_wherever_alpha_and_beta_are_given(name):
    value = divergences.ab_divergence([0.0, 1.0, 2.0], [1.0, 0.0, 2.0], **presets.get(name))
    assert value > 0
    assert presets.get(name).items() <= presets.training(name).items()
    assert presets.find(name).source


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_lies_within_the_ranges_of_its_source(name):
    preset = presets.find(name)
    for value, limits in ((preset.alpha, preset.alpha_range), (preset.beta, preset.beta_range)):
        assert limits is None or limits[0] <= value <= limits[1]


def test_the_published_values():
    assert presets.get("paper-gpt2") == {"alpha": 0.2, "beta": 0.7}
    assert presets.get("paper-openllama") == {"alpha": 0.1, "beta": 0.8}
    assert presets.training("paper-cifar-resnet56-resnet20") == {
        "alpha": 0.8,
        "beta": 0.3,
        "temperature": 4.0,
        "distill_weight": 32.0,
        "hard_weight": 1.0,
    }
    assert presets.training("paper-cifar-resnet56-resnet20-script")["distill_weight"] == 64.0
    assert presets.get("article-action") == {"alpha": 0.8, "beta": 0.2}


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(ValueError, match=r"preset 'paper-gpt3' is not known \(did you mean 'paper-gpt2'\?\).*hellinger"):
        presets.get("paper-gpt3")
