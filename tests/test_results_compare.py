"""What `compare` prints: methods × backends, the frameworks' agreement, errors, timings."""

import math

import pytest
from results_examples import agreement, distill, diverged, loss, trace

from results import Store, compare
from results.__main__ import main


def of_title(tables, start):
    (table,) = [table for table in tables if table.title.startswith(start)]
    return table.frame


@pytest.fixture
def students():
    """Two methods, two backends, three seeds: mean 0.97 and 0.95, standard error 0.01 / sqrt(3)."""
    return [
        distill(method, seed, backend, base + step)
        for backend in ("jax", "torch")
        for method, base in (("abkd", 0.97), ("sft", 0.95))
        for seed, step in enumerate((-0.01, 0.0, 0.01))
    ]


def test_methods_by_backends_with_the_best_in_bold(students):
    frame = of_title(compare.tables(students), "Methods: digits-teacher:digits-student, digits, smoke, float32")
    assert list(frame.columns) == ["method", "torch", "jax"]
    assert frame.values.tolist() == [
        ["sft", "0.9500 ± 0.0058", "0.9500 ± 0.0058"],
        ["abkd (0.8, 0.2)", "**0.9700 ± 0.0058**", "**0.9700 ± 0.0058**"],
    ]


def test_of_a_loss_the_smaller_is_the_best(students):
    frame = of_title(compare.tables(students, "test/nll"), "Methods")
    assert frame.loc[1, "torch"] == "**0.0300 ± 0.0058**" and frame.loc[0, "torch"] == "0.0500 ± 0.0058"


def test_cells_that_did_not_end_ok_are_counted_and_not_averaged(students):
    frame = of_title(compare.tables([*students, diverged("sft", 3)]), "Methods")
    assert frame.loc[0, "torch"] == "0.9500 ± 0.0058, 1 diverged"
    assert of_title(compare.tables([diverged()]), "Methods").loc[0, "torch"] == "1 diverged"


def test_parameters_that_differ_make_rows_of_their_own(students):
    warmer = [distill("abkd", seed, accuracy=0.9, cell={"temperature": 8.0}, key=f"warm-{seed}") for seed in range(2)]
    rows = list(of_title(compare.tables(students + warmer), "Methods")["method"])
    assert rows == ["sft", "abkd (0.8, 0.2) temperature=4.0", "abkd (0.8, 0.2) temperature=8.0"]


def test_the_teacher_stands_above_its_students_and_is_never_the_best(students):
    teacher = distill("sft", 0, accuracy=0.99, key="teacher", cell={"pair": "digits-teacher", "method": "teacher"})
    frame = of_title(compare.tables([*students, teacher]), "Methods")
    assert frame.loc[0].tolist() == ["teacher", "0.9900", "—"] and frame.loc[2, "torch"].startswith("**")


def test_a_record_of_older_code_is_replaced_by_the_newer_one(students):
    rerun = [distill("abkd", seed, "torch", 0.99, key=f"new-{seed}", second=100) for seed in range(3)]
    assert of_title(compare.tables(students + rerun), "Methods").loc[1, "torch"] == "**0.9900 ± 0.0000**"


@pytest.mark.parametrize(("dtype", "difference", "verdict"), [
    ("float64", 5e-11, "pass"), ("float64", 5e-10, "**fail**"),
    ("float32", 5e-6, "pass"), ("float32", 5e-5, "**fail**"),
])  # fmt: skip
def test_frameworks_agree_within_the_bar_of_the_dtype(dtype, difference, verdict):
    records = [trace("jax", dtype, difference), trace("torch", dtype), agreement()]
    frame = of_title(compare.tables(records), "Agreement of the frameworks")
    assert frame.loc[0, "frameworks"] == "torch / jax" and frame.loc[0, "verdict"] == verdict
    differences = compare.trace_differences(records[0].details["trace"], records[1].details["trace"])
    assert differences["losses"] == pytest.approx(difference, rel=1e-3)
    assert differences["logits"] == pytest.approx(difference, rel=1e-3)


def test_three_frameworks_make_three_pairs_and_dtypes_are_not_mixed():
    records = [trace(backend) for backend in ("tensorflow", "torch", "jax")] + [trace("torch", "float32")]
    pairs = list(of_title(compare.tables(records), "Agreement of the frameworks")["frameworks"])
    assert pairs == ["torch / jax", "torch / tensorflow", "jax / tensorflow"]


def test_traces_of_other_shapes_or_with_nan_do_not_agree():
    good = trace().details["trace"]
    assert compare.trace_differences(good, {**good, "losses": good["losses"][:19]})["losses"] == math.inf
    assert compare.trace_differences(good, {**good, "losses": [math.nan] * 20})["losses"] == math.inf
    assert compare.trace_differences(good, {**good, "statistics": {}})["statistics"] == math.inf


def test_errors_by_dtype_and_backend_show_the_worst():
    records = [agreement(classes=10), agreement(classes=100, gradient=9e-7), agreement("float64", "jax", 1e-13, 1e-13)]
    frame = of_title(compare.tables(records), "Errors")
    assert frame.values.tolist() == [["float64", "—", "1.0e-13 / 1.0e-13"], ["float32", "1.0e-07 / 9.0e-07", "—"]]
    infinite = agreement(value=math.inf, status="failed")
    assert of_title(compare.tables([infinite]), "Errors").loc[0, "torch"] == "inf / 2.0e-07, **1 of 1 not ok**"


def test_timings_stand_beside_the_frameworks_own_loss():
    records = [loss(milliseconds=40.0), loss("framework_kl", milliseconds=50.0), loss(backend="jax", status="failed")]
    frame = of_title(compare.tables(records), "Time of the loss")
    assert list(frame["× own KL"]) == ["0.80", "1.00", "—"]
    assert frame.loc[2, "forward ms"] == "void"


def test_the_command_prints_filters_and_writes(tmp_path, capsys, students):
    store = Store(tmp_path)
    for record in students:
        store.write(record)
    words = ["compare", "--store", str(tmp_path)]
    assert main([*words, "--backend", "torch", "--where", "method=abkd", "--output", str(tmp_path / "out.md")]) == 0
    printed = capsys.readouterr().out
    assert "0.9700 ± 0.0058" in printed and "jax" not in printed and "sft" not in printed
    assert (tmp_path / "out.md").read_text() in printed
    assert "12 records are not in MLflow yet" in printed and "nox -s sync" in printed
    assert main([*words, "--where", "alpha=0.80"]) == 0 and "abkd" in capsys.readouterr().out


def test_an_empty_store_says_what_to_run(tmp_path, capsys):
    assert main(["compare", "--store", str(tmp_path / "none"), "--backend", "jax"]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "none") in message and "nox -s torch" in message and "backend=jax" in message


@pytest.mark.parametrize(
    ("words", "named"), [(["--metric", "test/f1"], "test/accuracy"), (["--where", "x"], "FIELD=VALUE")]
)
def test_wrong_words_name_what_is_allowed(tmp_path, capsys, words, named):
    Store(tmp_path).write(distill())
    assert main(["compare", "--store", str(tmp_path), *words]) == 2
    assert named in capsys.readouterr().err
