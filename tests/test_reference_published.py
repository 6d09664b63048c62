"""Published figures: complete, consistent with each other, and the contradicted ones kept apart."""

import pytest

from reference import published_numbers
from reference.published_numbers import ABKD_TABLE, AVERAGE, CIFAR_PAIRS, CLIP_PAIR, GPT2_PAIR, NUMBERS, find
from suites import datasets


def test_every_figure_has_a_source_and_a_place():
    assert all(number.source and number.value > 0 for number in NUMBERS)
    assert all(number.value <= 100 for number in NUMBERS)
    assert {number.dataset for number in NUMBERS} - set(datasets.TABLE) == {AVERAGE}
    # one source says one thing about one thing
    places = [(n.dataset, n.pair, n.method, n.metric, n.source) for n in NUMBERS]
    assert len(set(places)) == len(places)


def test_counts_of_the_tables():
    assert len(find(dataset="cifar100")) == 8 * 7
    assert len(find(pair=GPT2_PAIR, metric="rouge_l")) == 15 * 5
    assert len(find(metric="seconds_per_sample")) == 8
    assert len(find(method="promptkd", dataset=AVERAGE)) == 3
    assert len(find(contradicted=True)) == 16 + 8


def test_figures_are_found_by_what_they_are_of():
    (number,) = find(dataset="unni", pair=GPT2_PAIR, method="distillm")
    assert number.value == 25.79 and number.metric == "rouge_l" and number.source == ABKD_TABLE
    (number,) = find(dataset="cifar100", pair="resnet56:resnet20", method="dkd")
    assert number.value == 71.97
    assert {n.value for n in find(dataset="dolly", pair=GPT2_PAIR, method="abkd")} == {25.65, 25.49, 26.15, 24.05}


def test_contradicted_figures_come_only_when_asked_for():
    assert not any(number.contradicted for number in find())
    assert {number.value for number in find(dataset="cifar100", contradicted=True)} == {78.4, 79.8}
    assert len(find()) + len(find(contradicted=True)) == len(NUMBERS)


def test_what_nobody_published_is_empty_and_what_is_misspelt_is_an_error():
    assert find(pair="resnet110:resnet44") == () and find(dataset="cifar100", method="abkd") == ()
    assert find(dataset="cifar100", method="abdkd") == ()
    with pytest.raises(ValueError, match="pair='resnet56->resnet20' occurs in no published figure"):
        find(pair="resnet56->resnet20")


def test_harmonic_means_follow_from_base_and_new():
    by_method = {}
    for number in find(dataset=AVERAGE):
        by_method.setdefault(number.method, {})[number.metric] = number.value
    assert len(by_method) == 7
    for values in by_method.values():
        base, new = values["base"], values["new"]
        assert values["harmonic_mean"] == pytest.approx(2 * base * new / (base + new), abs=0.011)


def test_promptkd_by_set_averages_to_its_published_average():
    sets = [name for name, row in datasets.TABLE.items() if row.task == "base-to-new"]
    assert len(sets) == 11
    for metric in ("base", "new"):
        (average,) = find(dataset=AVERAGE, method="promptkd", metric=metric)
        values = [find(dataset=name, pair=CLIP_PAIR, metric=metric)[0].value for name in sets]
        assert sum(values) / 11 == pytest.approx(average.value, abs=0.006)


def test_the_same_network_has_the_same_figure_in_every_pair():
    for side, method in ((0, "teacher"), (1, "student")):
        found = {}
        for pair in CIFAR_PAIRS:
            (number,) = find(dataset="cifar100", pair=pair, method=method)
            found.setdefault(pair.split(":")[side], set()).add(number.value)
        assert all(len(values) == 1 for values in found.values())


def test_unpublished_names_are_not_published_after_all():
    for name, values in published_numbers.UNPUBLISHED.items():
        assert not {getattr(number, name) for number in NUMBERS} & set(values)
