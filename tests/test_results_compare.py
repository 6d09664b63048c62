"""What `compare` prints: methods × backends, the frameworks' agreement, errors, timings."""

import io
import math
import re
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas
import pytest
from results_examples import agreement, distill, diverged, loss, trace

from results import Store
from results.__main__ import main
from results.significance import differences
from results.tables import every, paired, traces
from results.tables import table as tables


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
    frame = of_title(every.tables(students), "Methods: digits-teacher:digits-student, digits, smoke, float32")
    assert list(frame.columns) == ["method", "torch", "jax"]
    assert frame.values.tolist() == [
        ["sft", "0.9500 ± 0.0058", "0.9500 ± 0.0058"],
        ["abkd (0.8, 0.2)", "**0.9700 ± 0.0058**", "**0.9700 ± 0.0058**"],
    ]


def test_of_a_loss_the_smaller_is_the_best(students):
    frame = of_title(every.tables(students, "test/nll"), "Methods")
    assert frame.loc[1, "torch"] == "**0.0300 ± 0.0058**" and frame.loc[0, "torch"] == "0.0500 ± 0.0058"


def test_cells_that_did_not_end_ok_are_counted_and_not_averaged(students):
    frame = of_title(every.tables([*students, diverged("sft", 3)]), "Methods")
    assert frame.loc[0, "torch"] == "0.9500 ± 0.0058, 1 diverged"
    assert of_title(every.tables([diverged()]), "Methods").loc[0, "torch"] == "1 diverged"


def test_parameters_that_differ_make_rows_of_their_own(students):
    warmer = [distill("abkd", seed, accuracy=0.9, cell={"temperature": 8.0}, key=f"warm-{seed}") for seed in range(2)]
    rows = list(of_title(every.tables(students + warmer), "Methods")["method"])
    assert rows == ["sft", "abkd (0.8, 0.2) temperature=4.0", "abkd (0.8, 0.2) temperature=8.0"]


def test_the_teacher_stands_above_its_students_and_is_never_the_best(students):
    teacher = distill("sft", 0, accuracy=0.99, key="teacher", cell={"pair": "digits-teacher", "method": "teacher"})
    frame = of_title(every.tables([*students, teacher]), "Methods")
    assert frame.loc[0].tolist() == ["teacher", "0.9900", "—"] and frame.loc[2, "torch"].startswith("**")


def test_a_record_of_older_code_is_replaced_by_the_newer_one(students):
    rerun = [distill("abkd", seed, "torch", 0.99, key=f"new-{seed}", second=100) for seed in range(3)]
    assert of_title(every.tables(students + rerun), "Methods").loc[1, "torch"] == "**0.9900 ± 0.0000**"


@pytest.mark.parametrize(
    ("dtype", "difference", "verdict"),
    [("float64", 5e-11, "pass"), ("float64", 5e-10, "**fail**"), ("float32", 5e-6, "pass"), ("float32", 5e-5, "**fail**")],
)
def test_frameworks_agree_within_the_bar_of_the_dtype(dtype, difference, verdict):
    records = [trace("jax", dtype, difference), trace("torch", dtype), agreement()]
    frame = of_title(every.tables(records), "Agreement of the frameworks")
    assert frame.loc[0, "frameworks"] == "torch / jax" and frame.loc[0, "verdict"] == verdict
    differences = traces.differences(records[0].details["trace"], records[1].details["trace"])
    assert differences["losses"] == pytest.approx(difference, rel=1e-3)
    assert differences["logits"] == pytest.approx(difference, rel=1e-3)


@pytest.mark.parametrize(
    ("own", "exact", "verdict"),
    [(2e-5, 0.0, "rounding"), (1e-6, 0.0, "**fail**"), (2e-5, 1e-9, "**fail**"), (2e-5, None, "**fail**")],
)
def test_what_rounding_explains_is_told_from_a_defect(own, exact, verdict):
    """float32 is 5e-5 apart, torch's lies `own` from its float64, where both are `exact` apart."""
    records = [trace("torch", "float32", own), trace("jax", "float32", own + 5e-5), trace("torch", "float64")]
    if exact is not None:
        records.append(trace("jax", "float64", exact))
    table = next(t for t in every.tables(records) if t.title == "Agreement of the frameworks")
    frame = table.frame.set_index("cell")
    assert frame.loc[[name for name in frame.index if "float32" in name], "verdict"].tolist() == [verdict]
    assert ("magnify rounding" in table.note) == (verdict == "rounding")


def test_three_frameworks_make_three_pairs_and_dtypes_are_not_mixed():
    records = [trace(backend) for backend in ("tensorflow", "torch", "jax")] + [trace("torch", "float32")]
    pairs = list(of_title(every.tables(records), "Agreement of the frameworks")["frameworks"])
    assert pairs == ["torch / jax", "torch / tensorflow", "jax / tensorflow"]


def test_traces_of_other_shapes_or_with_nan_do_not_agree():
    good = trace().details["trace"]
    assert traces.differences(good, {**good, "losses": good["losses"][:19]})["losses"] == math.inf
    assert traces.differences(good, {**good, "losses": [math.nan] * 20})["losses"] == math.inf
    assert traces.differences(good, {**good, "statistics": {}})["statistics"] == math.inf


def test_errors_by_dtype_and_backend_show_the_worst():
    records = [agreement(classes=10), agreement(classes=100, gradient=9e-7), agreement("float64", "jax", 1e-13, 1e-13)]
    frame = of_title(every.tables(records), "Errors")
    assert frame.values.tolist() == [["float64", "—", "1.0e-13 / 1.0e-13"], ["float32", "1.0e-07 / 9.0e-07", "—"]]
    infinite = agreement(value=math.inf, status="failed")
    assert of_title(every.tables([infinite]), "Errors").loc[0, "torch"] == "inf / 2.0e-07, **1 of 1 not ok**"


def test_timings_stand_beside_the_frameworks_own_loss():
    records = [loss(milliseconds=40.0), loss("framework_kl", milliseconds=50.0), loss(backend="jax", status="failed")]
    frame = of_title(every.tables(records), "Time of the loss")
    assert list(frame["× own KL"]) == ["0.80", "1.00", "—"]
    assert frame.loc[2, "forward ms"] == "void"


def test_the_command_prints_filters_and_writes(tmp_path, capsys, students):
    store = Store(tmp_path)
    for record in students:
        store.write(record)
    words = ["compare", "--store", str(tmp_path)]
    assert main([*words, "--backend", "torch", "--where", "method=abkd", "--output", str(tmp_path / "out.md")]) == 0
    told = capsys.readouterr()
    printed = told.out
    assert "0.9700 ± 0.0058" in printed and "jax" not in printed and "sft" not in printed
    assert (tmp_path / "out.md").read_text() in printed
    assert "12 records are not in MLflow yet" in told.err and "nox -s sync" in told.err
    assert main([*words, "--where", "alpha=0.80"]) == 0 and "abkd" in capsys.readouterr().out
    assert main([*words, "--where", "method!=abkd,kd"]) == 0
    printed = capsys.readouterr().out
    assert "sft" in printed and "abkd" not in printed
    assert main([*words, "--where", "method!=abkd,sft"]) == 1 and "method!=abkd|sft" in capsys.readouterr().err


def test_an_empty_store_says_what_to_run(tmp_path, capsys):
    assert main(["compare", "--store", str(tmp_path / "none"), "--backend", "jax"]) == 1
    assert main(["compare", "--store", str(tmp_path / "none")]) == 0
    message = capsys.readouterr().err
    assert str(tmp_path / "none") in message and "nox -s torch" in message and "backend=jax" in message


def test_paired_differences_intervals_and_p_values_agree_with_scipy():
    from scipy import stats

    ours = {seed: value for seed, value in enumerate((0.95, 0.97, 0.96, 0.94, 0.99))}
    other = {seed: value for seed, value in enumerate((0.94, 0.97, 0.93, 0.95))}
    found = differences.difference(ours, other)
    peer = stats.ttest_rel([ours[s] for s in range(4)], [other[s] for s in range(4)])
    interval = peer.confidence_interval(0.95)
    assert found.p == pytest.approx(peer.pvalue) and found.mean == pytest.approx(0.0075)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (found.better, found.tied, found.worse, found.seeds) == (2, 1, 1, 4)
    mirrored = differences.difference(ours, other, sign=-1.0)
    assert mirrored.mean == -found.mean and (mirrored.better, mirrored.worse) == (1, 2) and mirrored.p == found.p


def test_pairs_that_leave_nothing_to_test():
    assert differences.difference({0: 0.5}, {1: 0.5}) is None
    single = differences.difference({0: 0.9, 1: 0.8}, {0: 0.8})
    assert single.mean == pytest.approx(0.1) and math.isnan(single.p) and math.isnan(single.low)
    assert differences.difference({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}).p == 1.0


def test_holm_by_hand():
    corrected = differences.holm([0.01, math.nan, 0.04, 0.03, 0.005])
    assert corrected[:1] + corrected[2:] == pytest.approx([0.03, 0.06, 0.06, 0.02]) and math.isnan(corrected[1])
    assert differences.holm([0.6, 0.7]) == [1.0, 1.0] and differences.holm([]) == []


def test_corrected_p_values_call_a_winner_among_equals_rarely():
    """1,000 tables of eight methods that are all alike: about 5 % have a win or a loss, as the level promises."""
    generator = np.random.RandomState(0)
    wrong = 0
    for _ in range(1000):
        rows = generator.randn(9, 6)
        p_values = [differences.difference(dict(enumerate(row)), dict(enumerate(rows[0]))).p for row in rows[1:]]
        wrong += min(differences.holm(p_values)) < differences.LEVEL
    assert wrong <= 70


def better_by(step, method="abkd", backend="torch", dataset="digits", seeds=6, **fields):
    """Students of KD, and of a method that is so much better in every seed, give or take 0.001."""
    found = []
    for seed in range(seeds):
        base, cell = 0.9 + 0.01 * seed, {"dataset": dataset}
        found.append(distill("kd", seed, backend, base, key=f"{backend}-{dataset}-kd-{seed}", cell=cell))
        value, key = base + step + 0.001 * (seed % 3 - 1), f"{backend}-{dataset}-{method}-{seed}"
        found.append(distill(method, seed, backend, value, key=key, cell=dict(cell), **fields))
    return found


def test_a_method_that_wins_in_every_seed_wins_though_the_means_overlap():
    records = better_by(0.005) + better_by(-0.005, backend="jax")
    (table,) = [t for t in every.tables(records) if t.title.startswith("Against kd")]
    rows = {row["backend"]: row for row in table.frame.to_dict("records") if row["method"] != "kd"}
    assert rows["torch"]["difference"] == "+0.0050" and rows["torch"]["+ / = / −"] == "6 / 0 / 0"
    assert rows["jax"]["difference"] == "-0.0050" and rows["torch"]["p (Holm)"] == "< 0.0001"
    assert rows["torch"]["step ms"] == "4.5" and "kd" in set(table.frame["method"])
    assert list(table.data[table.data["method"] != "kd"]["outcome"]) == ["win", "loss"]
    wins = of_title(every.tables(records), "Wins")
    assert wins.iloc[0].tolist() == ["abkd (0.8, 0.2)", "1", "0", "1", "0", "+0.0000", "6 / 0 / 6"]


def test_of_a_loss_to_be_small_a_smaller_one_wins():
    table = paired.tables(better_by(0.005), "test/nll")[0]
    assert table.frame.loc[1, "difference"] == "+0.0050" and "win" in set(table.data["outcome"])


def test_the_baseline_is_chosen_by_name_and_its_absence_is_named(students):
    assert paired.tables(students)[0].title.startswith("Against sft")
    assert paired.tables(students, baseline="abkd")[0].title.startswith("Against abkd (0.8, 0.2)")
    with pytest.raises(ValueError, match=r"--baseline 'dkd'.*abkd \(0.8, 0.2\), sft"):
        paired.tables(students, baseline="dkd")
    warmer = [distill("abkd", s, accuracy=0.9, cell={"temperature": 8.0}, key=f"warm-{s}") for s in range(3)]
    with pytest.raises(ValueError, match=r"names several rows.*temperature=4.0.*temperature=8.0"):
        paired.tables(students + warmer, baseline="abkd")
    chosen = paired.tables(students + warmer, baseline="abkd (0.8, 0.2) temperature=8.0")
    assert chosen[0].title.startswith("Against abkd (0.8, 0.2) temperature=8.0")


@pytest.mark.parametrize(("seeds", "words"), [(1, "One seed says nothing"), (3, "3 seeds are few"), (6, "are noise.")])
def test_too_few_seeds_are_said(seeds, words):
    table = paired.tables(better_by(0.005, seeds=seeds))[0]
    assert words in table.note and ("few" in table.note) == (seeds == 3)
    assert (table.frame.loc[1, "p"] == "—") == (seeds == 1)


def test_seeds_that_diverged_are_left_out_of_the_pairs():
    records = [r for r in better_by(0.005) if (r.cell["method"], r.cell["seed"]) != ("abkd", 3)] + [
        diverged("abkd", 3, cell={"dataset": "digits"})
    ]
    table = paired.tables(records)[0]
    assert table.frame.loc[1, "+ / = / −"] == "5 / 0 / 0" and "1 diverged" in table.frame.loc[1, "test/accuracy"]


def test_several_data_sets_stand_side_by_side_for_each_backend():
    records = [r for d in ("digits", "other") for b in ("torch", "jax") for r in better_by(0.005, backend=b, dataset=d)]
    found = [t for t in every.tables(records) if t.title.startswith("Data sets")]
    assert [t.title for t in found] == ["Data sets: torch", "Data sets: jax"]
    assert found[0].frame.shape == (2, 3) and all("**" in cell for cell in found[0].frame.iloc[1, 1:])
    assert of_title(every.tables(records), "Wins").loc[0, "wins"] == "4"


def test_every_format_says_the_same_in_its_own_way(tmp_path, capsys, students):
    store = Store(tmp_path / "store")
    for record in students:
        store.write(record)
    words = ["compare", "--store", str(store.path)]
    for name in ("out.html", "out.tex", "out.csv"):
        assert main([*words, "--output", str(tmp_path / name)]) == 0
    page = (tmp_path / "out.html").read_text()
    ElementTree.fromstring(page.partition("\n")[2].replace('<meta charset="utf-8">', "").replace('scale=1">', 'scale=1"/>'))
    assert "<strong>0.9700 ± 0.0058</strong>" in page
    assert "http" not in page and page.count("<table") == len(every.tables(students))
    latex = (tmp_path / "out.tex").read_text()
    assert r"\textbf{0.9700 $\pm$ 0.0058}" in latex and r"\toprule" in latex and "**" not in latex
    assert not [sign for sign in "αβ±×−—" if sign in latex] and latex.count(r"\begin{table}") == latex.count(r"\caption{")
    assert main([*words, "--format", "csv", "--output", str(tmp_path / "folder")]) == 0
    against = pandas.read_csv(next((tmp_path / "folder").glob("against-sft-*.csv")))
    row = against[(against["method"] != "sft") & (against["column"] == "jax")].iloc[0]
    assert row["difference"] == pytest.approx(0.02) and row["seeds"] == 3 and row["memory/peak_mb"] != row["memory/peak_mb"]
    capsys.readouterr()
    assert main([*words, "--format", "csv"]) == 0 and capsys.readouterr().out == (tmp_path / "out.csv").read_text()
    together = pandas.read_csv(tmp_path / "out.csv")
    assert set(together["table"]) == {table.title for table in every.tables(students)}
    of_methods = together[together["table"].str.startswith("Methods") & (together["method"] != "sft")]
    assert (of_methods[["alpha", "beta", "temperature"]].values == [0.8, 0.2, 4.0]).all()
    assert main([*words, "--format", "tex"]) == 0 and capsys.readouterr().out == latex


def test_of_very_many_methods_the_figure_draws_the_best():
    from results.figures import methods

    grid = [
        distill("abkd", seed, accuracy=0.9 + step / 1000, key=f"{step}-{seed}", cell={"alpha": step / 10})
        for step in range(60)
        for seed in range(2)
    ]
    names = [tick.get_text() for tick in methods.methods(grid).axes[0].get_xticklabels()]
    assert len(names) == 12 and names[0] == "abkd (4.8, 0.2)" and names[-1] == "abkd (5.9, 0.2)"
    assert methods.methods(grid, "test/nll").axes[0].get_xticklabels()[0].get_text() == "abkd (4.8, 0.2)"


def test_latex_and_html_escape_what_they_must():
    table = tables.Table("50% & more", pandas.DataFrame([["a_b & <c>", "**1 %**"]], columns=["name#", "x"]), "a < b")
    latex = table.to_latex()
    assert r"a\_b \& " in latex and r"\textbf{1 \%}" in latex and r"\caption{50\% \& more. a $<$ b}" in latex
    assert "a_b &amp; &lt;c&gt;" in table.to_html() and table.to_csv() == "name#,x\na_b & <c>,1 %\n"


def test_markdown_and_csv_escape_what_they_must():
    cells = ["<script>x</script>", "![a](http://x/y.png)", "a\\|b", "two\nlines", "**bold** < 0.1", "=1+1", "-0.5", "+x", "@y"]
    table = tables.Table("<b>\n# title", pandas.DataFrame({"<i>": cells}), "[a](b)")
    markdown = table.to_markdown()
    assert not re.search(r"<[a-zA-Z/!]", markdown) and "](" not in markdown and "**bold** < 0.1" in markdown
    assert markdown.startswith("### &lt;b> # title\n") and len(re.findall(r"^\|", markdown, re.M)) == len(cells) + 2
    assert {line.count("|") - line.count("\\|") for line in markdown.splitlines() if line.startswith("|")} == {2}
    read = pandas.read_csv(io.StringIO(table.to_csv()))["<i>"].tolist()
    assert read[5:] == ["'=1+1", "-0.5", "'+x", "'@y"]


def test_comparing_a_thousand_records_is_quick():
    """The bar is ten seconds for ten thousand; what grows with their number only stays far below it here."""
    records = [r for number in range(42) for b in ("torch", "jax") for r in better_by(0.005, "abkd", b, f"set{number}")]
    started = time.process_time()
    assert len(records) == 1008 and len(every.tables(records)) > 80
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--output", "x.docx"], ".tex (latex)"), (["--metric", "test/f1"], "test/accuracy"), (["--where", "x"], "FIELD=VALUE")],
)
def test_wrong_words_name_what_is_allowed(tmp_path, capsys, words, named):
    Store(tmp_path).write(distill())
    assert main(["compare", "--store", str(tmp_path), *words]) == 2
    assert named in capsys.readouterr().err


def test_a_selection_that_matches_nothing_is_told_what_there_is(tmp_path, capsys):
    store = Store(tmp_path)
    store.write(distill("kd", 0))
    assert main(["compare", "--store", str(tmp_path), "--where", "scal=smoke"]) == 1
    said = capsys.readouterr().err
    assert "None of the 1 records" in said and "did you mean 'scale'?" in said
    assert main(["compare", "--store", str(tmp_path), "--where", "scale=paper"]) == 1
    assert "scale is there with smoke" in capsys.readouterr().err
