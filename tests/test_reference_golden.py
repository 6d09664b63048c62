"""The golden cases: complete, small, bound to their inputs, and what the command computes."""

import dataclasses

import numpy as np
import pytest

from reference import catalogue
from reference.golden.compute import Unit, compute, golden_path, load, read, units, write
from reference.grid import AB_GRID, CLASSES, DTYPES, SPREADS, TEMPERATURES, draw_logits, round_to

SAMPLE = [
    Unit("ab_divergence", 10, "1000", "float64", 1.0),
    Unit("ab_divergence", 10, "near", "bfloat16", 4.0),
    Unit("ab_divergence", 100, "100", "float16", 1.5),
    Unit("ab_divergence", 100, "near", "float64", 1.5),
    Unit("ab_divergence", 50257, "10", "float32", 1.5),
    Unit("jensen_shannon", 100, "near", "bfloat16", 1.0),
    Unit("skewed_reverse_kl", 10, "1000", "float32", 4.0),
    Unit("total_variation", 10, "100", "float16", 1.0),
    Unit("adaptive_kl", 100, "1", "float64", 4.0),
    Unit("bidirectional_kl", 10, "near", "bfloat16", 1.0),
    Unit("alphanet", 10, "10", "float32", 1.0),
]
OTHERS = [name for name in catalogue.DIVERGENCES if name != "ab_divergence"]


def test_every_point_of_the_grid_has_a_case():
    found = {(*case.parameters.values(), case.temperature, case.classes, case.spread, case.dtype): case for case in load()}
    assert len(found) == len(load()) == len(AB_GRID) * len(TEMPERATURES) * len(CLASSES) * len(SPREADS) * len(DTYPES)
    assert all(case.value.shape == (case.rows,) and (case.value >= 0).all() for case in found.values())


@pytest.mark.parametrize("name", OTHERS)
def test_every_unit_of_the_other_divergences_has_its_cases(name):
    row, cases = catalogue.get(name), load(name)
    found = {(case.classes, case.spread, case.dtype, case.temperature) for case in cases}
    wanted = {(unit.classes, unit.spread, unit.dtype, unit.temperature) for unit in units(name)}
    # two α-divergences of distributions far apart have the same value: there only some of the grid can be tested
    assert found == wanted
    assert len(cases) == len(wanted) * len(row.grid) or name == "alphanet"
    assert all((case.value >= 0).all() for case in cases)


@pytest.mark.parametrize("name", [name for name in OTHERS if catalogue.get(name).margin])
def test_all_rows_keep_a_margin_from_where_the_loss_switches(name):
    for case in load(name, classes=10) + load(name, classes=100):
        with np.errstate(all="ignore"):
            kept = catalogue.get(name).margin(*case.inputs(), **case.parameters, temperature=case.temperature)
        assert kept.all(), case.name


def test_the_files_are_small():
    assert golden_path("ab_divergence").stat().st_size < 2e6
    assert all(golden_path(name).stat().st_size < 5e5 for name in OTHERS)


@pytest.mark.parametrize("unit", SAMPLE, ids=str)
def test_computing_again_gives_exactly_the_stored_answers(unit):
    stored = load(unit.divergence, classes=unit.classes, spread=unit.spread, dtype=unit.dtype, temperature=unit.temperature)
    for case, again in zip(stored, compute(unit), strict=True):
        for field in dataclasses.fields(case):
            np.testing.assert_array_equal(getattr(case, field.name), getattr(again, field.name), err_msg=case.name)


def test_writing_is_deterministic(tmp_path):
    path = golden_path("ab_divergence")
    write(tmp_path / "ab_divergence.npz", read(path))
    assert (tmp_path / "ab_divergence.npz").read_bytes() == path.read_bytes()


def test_inputs_that_changed_are_refused():
    case = dataclasses.replace(load(classes=10)[0], digest="0" * 16)
    with pytest.raises(RuntimeError, match=r"compute the golden cases again with: python -m reference\.golden"):
        case.inputs()


def test_an_unknown_divergence_lists_the_known():
    with pytest.raises(ValueError, match="divergence is 'kl'; it must be one of ab_divergence, adaptive_kl"):
        load("kl")


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m reference\.golden"):
        read(tmp_path / "none.npz")


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_are_numbers_that_their_type_holds(dtype):
    for spread in SPREADS:
        for logits in draw_logits(100, spread, dtype, 3, seed=5):
            assert logits.shape == (3, 100) and np.isfinite(logits).all()
            np.testing.assert_array_equal(round_to(logits, dtype), logits)


def test_bfloat16_rounds_to_nearest_even():
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, np.inf, -np.inf, 0.0])
    wanted = [1.0, 1.0, 1 + 2**-6, 1 + 2**-7, -1.0, np.inf, -np.inf, 0.0]
    assert round_to(values, "bfloat16").tolist() == wanted


def test_a_near_student_is_near():
    student, teacher = draw_logits(100, "near", "float64", 2, seed=0)
    assert 0.005 < np.std(student - teacher) < 0.02 and 8 < np.std(teacher) < 12


@pytest.mark.parametrize(("spread", "dtype", "named"), [("2", "float32", "spread is '2'"), ("1", "int8", "dtype is")])
def test_an_unknown_spread_or_type_is_named(spread, dtype, named):
    with pytest.raises(ValueError, match=named):
        draw_logits(10, spread, dtype, 1, 0)
