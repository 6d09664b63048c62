"""The golden cases: complete, small, bound to their inputs, and what the command computes."""

import dataclasses

import numpy as np
import pytest

from reference import catalogue
from reference.golden import Unit, compute, golden_path, load, read, write
from reference.grid import AB_GRID, CLASSES, DTYPES, SPREADS, TEMPERATURES, draw_logits, round_to

SAMPLE = [
    Unit("ab_divergence", 10, "1000", "float64", 1.0),
    Unit("ab_divergence", 10, "near", "bfloat16", 4.0),
    Unit("ab_divergence", 100, "100", "float16", 1.5),
    Unit("ab_divergence", 100, "near", "float64", 1.5),
    Unit("ab_divergence", 50257, "10", "float32", 1.5),
]


def test_every_point_of_the_grid_has_a_case():
    found = {
        (*case.parameters.values(), case.temperature, case.classes, case.spread, case.dtype): case for case in load()
    }
    assert len(found) == len(load()) == len(AB_GRID) * len(TEMPERATURES) * len(CLASSES) * len(SPREADS) * len(DTYPES)
    assert all(case.value.shape == (case.rows,) and (case.value >= 0).all() for case in found.values())


def test_the_files_are_small():
    assert all(golden_path(name).stat().st_size < 2e6 for name in catalogue.DIVERGENCES)


@pytest.mark.parametrize("unit", SAMPLE, ids=str)
def test_computing_again_gives_exactly_the_stored_answers(unit):
    stored = load(classes=unit.classes, spread=unit.spread, dtype=unit.dtype, temperature=unit.temperature)
    for case, again in zip(stored, compute(unit), strict=True):
        for field in dataclasses.fields(case):
            np.testing.assert_array_equal(getattr(case, field.name), getattr(again, field.name), err_msg=case.name)


def test_writing_is_deterministic(tmp_path):
    path = golden_path("ab_divergence")
    write(tmp_path / "ab_divergence.npz", read(path))
    assert (tmp_path / "ab_divergence.npz").read_bytes() == path.read_bytes()


def test_inputs_that_changed_are_refused():
    case = dataclasses.replace(load(classes=10)[0], digest="0" * 16)
    with pytest.raises(RuntimeError, match="compute the golden cases again with: python -m reference.golden"):
        case.inputs()


def test_an_unknown_divergence_lists_the_known():
    with pytest.raises(ValueError, match="divergence is 'kl'; it must be one of ab_divergence"):
        load("kl")


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m reference.golden"):
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
