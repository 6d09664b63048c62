"""One mean, one training: no figure of a table puts together records of different recipes, data, teachers or code."""

import copy
import functools
import io
import json
import math
import random

import pandas
import pytest
from results_examples import agreement, distill, diverged, loss, trace

from results import Record, Store, grouping, groups
from results.__main__ import main
from results.figures import heat_maps, near_lines, parameter_curves
from results.figures import methods as methods_figure
from results.figures.of_invocation import OF_INVOCATION
from results.records.record import RecordError
from results.report import findings
from results.tables import every, methods, paired, precisions, sweeps
from results.tables.table import to_csv

RECIPE = {"epochs": 20, "learning_rate": 0.1, "batch_size": 64}
CODE = {"backends/torch/kernel.py": "1", "suites/streams.py": "1"}
TEACHERS = [[[3.25, -1.5, 0.5]], [[2.0, 2.5, -4.0]]]


def student(method="kd", seed=0, *, recipe=(), data="aaa", teacher=0, code="1", **fields):
    """A record as this version writes it: recipe, data, teacher's logits and code beside the cell."""
    details = {
        "recipe": RECIPE | dict(recipe),
        "data": {"digest": data},
        "logits": {"student": [[0.0] * 3], "teacher": TEACHERS[teacher]},
        "decided": {"code": {name: code for name in CODE}, "other": "x"},
    }
    key = f"{method}-{seed}-{sorted(dict(recipe).items())}-{data}-{teacher}-{code}-{sorted(fields.get('cell', {}).items())}"
    key = "".join(sign if sign.isalnum() else "." for sign in key)
    environment = {"cpu": "a processor", "git_commit": f"{code}abcdef0123", "backend.tf32": "False"}
    return distill(method, seed, key=f"k{key}", details=details, environment=environment, **fields)


def rows(tables, start="Methods"):
    """(title, first column, torch) of each row of tables of means."""
    found = [table for table in tables if table.title.startswith(start)]
    return [(table.title, row["method"], row["torch"]) for table in found for row in table.frame.to_dict("records")]


def test_a_seed_of_four_epochs_and_one_of_twenty_are_two_rows():
    records = [student("kd", 0, accuracy=0.95), student("kd", 1, recipe={"epochs": 4}, accuracy=0.75)]
    shown = rows(every.tables(records))
    assert [row[1:] for row in shown] == [("kd epochs=20", "**0.9500**"), ("kd epochs=4", "0.7500")]


def test_the_same_seed_of_two_recipes_is_there_twice():
    records = [student("kd", s, recipe={"epochs": e}, accuracy=0.7 + e / 100, second=e) for s in (0, 1) for e in (4, 20)]
    assert {row[1:] for row in rows(every.tables(records))} == {
        ("kd epochs=20", "**0.9000 ± 0.0000**"),
        ("kd epochs=4", "0.7400 ± 0.0000"),
    }


def test_methods_are_paired_within_one_training_only():
    short = [student(m, s, recipe={"epochs": 4}, accuracy=0.7 + s / 100) for m in ("kd", "abkd") for s in range(3)]
    long = [student(m, s, accuracy=0.9 + s / 100 + (m == "abkd") / 10) for m in ("sft", "abkd") for s in range(3)]
    tables = {table.title: table.data for table in paired.tables([*short, *long])}
    titles = [title for title in tables if title.startswith("Against")]
    assert [title.rpartition(", ")[2] for title in titles] == ["epochs=4", "epochs=20"]
    assert titles[0].startswith("Against kd:") and titles[1].startswith("Against sft:")
    assert all(len(tables[title]) == 2 for title in titles)
    # where the command line chose a number, too
    mixed = [student("kd", s) for s in range(3)] + [student("abkd", s, cell={"epochs": 4}) for s in range(3)]
    assert all(len(table.data) == 1 for table in paired.tables(mixed) if table.title.startswith("Against"))


@pytest.mark.parametrize("other", [{"data": "bbb"}, {"teacher": 1}])
def test_students_of_other_data_or_another_teacher_stand_in_a_section_of_their_own(other):
    records = [student(m, s) for m in ("kd", "abkd") for s in range(3)] + [student("sft", s, **other) for s in range(3)]
    tables = every.tables(records)
    titles = {title for title, *_ in rows(tables)}
    assert len(titles) == 2 and all(f", {next(iter(other))} " in title for title in titles)
    (against,) = [table for table in tables if table.title.startswith("Against kd")]
    assert set(against.data["method"]) == {"kd", "abkd (0.8, 0.2)"}


def test_of_two_states_of_the_code_the_newest_is_shown_and_the_rest_is_said():
    old = [student("kd", s, accuracy=0.5, second=s) for s in range(5)]
    new = [student("kd", s, code="2", accuracy=0.9, second=60 + s) for s in range(3)]
    (table,) = methods.methods([*old, *new])
    assert table.frame.loc[0, "torch"] == "0.9000 ± 0.0000"
    assert "2 records of other code" in table.note and "(2abcdef)" in table.note
    assert any("2 of digits-teacher" in said for said in findings.left_out(grouping.Comparable.of([*old, *new])))
    (table,) = methods.methods(old)
    assert "other code" not in table.note


def test_methods_whose_shared_files_are_the_same_are_of_one_code():
    """Of a table of methods each method's digest is of its own rows."""
    kd = [student("kd", s) for s in range(2)]
    abkd = [student("abkd", s, second=60) for s in range(2)]
    for record, own in [(r, "kd") for r in kd] + [(r, "abkd") for r in abkd]:
        record.details["decided"]["code"] |= {"backends/common/methods.py": own, f"backends/torch/{own}.py": own}
    assert len(rows(every.tables([*kd, *abkd]))) == 2
    for record in abkd:
        record.details["decided"]["code"]["suites/streams.py"] = "2"
    ((_, name, _),) = rows(every.tables([*kd, *abkd]))
    assert name.startswith("abkd")


def test_frameworks_are_compared_where_their_shared_files_are_the_same():
    torch = [student("kd", s) for s in range(3)]
    jax = [student("kd", s, backend="jax") for s in range(3)]
    for record in jax:
        record.details["decided"]["code"] = {"backends/jax/kernel.py": "9", "suites/streams.py": "1"}
    assert any(table.title.startswith("Frameworks") for table in every.tables([*torch, *jax]))
    for record in jax:
        record.details["decided"]["code"]["suites/streams.py"] = "2"
    tables = every.tables([*torch, *jax])
    assert not any(table.title.startswith("Frameworks") for table in tables)
    assert [table.frame.shape[1] for table in tables if table.title.startswith("Methods")] == [3]


def test_a_table_of_files_is_the_list_that_keys_have():
    from suites import sources

    assert {name.rpartition("/")[2] for name in sources.TABLES} == groups.TABLES


def test_a_record_from_the_future_hides_nothing():
    records = [student("kd", s, accuracy=0.9) for s in range(3)]
    late = student("kd", 0, code="2", accuracy=0.1, finished="2099-01-01T00:00:00+00:00")
    assert rows(every.tables([*records, late]))[0][2] == "0.9000 ± 0.0000"


def test_data_that_each_seed_draws_are_no_other_data():
    records = [student("kd", seed, data=f"digest-{seed}") for seed in range(3)]
    for record in records:
        record.details["data"]["drawn_by_seed"] = True
    assert len(rows(every.tables(records))) == 1


def test_a_training_that_failed_before_it_began_is_counted_with_the_others():
    records = [student("kd", s, accuracy=0.9) for s in range(2)]
    failed = diverged("kd", 2, key="failed", second=90)
    failed.details, failed.environment = {"decided": records[0].details["decided"]}, {}
    assert rows(every.tables([*records, failed]))[0][2] == "0.9000 ± 0.0000, 1 diverged"
    assert len(paired.tables([*records, failed])) == 1


def test_the_best_setting_is_chosen_over_the_seeds_that_settings_share():
    grid = [student("abkd", s, cell={"alpha": a / 10}, accuracy=0.9 + a / 100 - s / 50) for a in range(9) for s in range(3)]
    grid.append(student("abkd", 3, cell={"alpha": 0.1}, accuracy=0.99))
    (found,) = sweeps.findings(grid)
    assert len(found.ranked) == 9 and found.ranked[0].label == "abkd α 0.8" and "over seeds 0 to 2" in found.sentences()
    assert {len(setting.values) for setting in found.ranked} == {3} and found.left_out == 0
    panel = heat_maps._panel(
        "", "", [*grid, student("abkd", 0, cell={"alpha": 0.1, "beta": 0.5}, accuracy=0.1)], "test/accuracy"
    )
    assert grouping.best_of(panel.points, "test/accuracy") == (0.8, 0.2)


def test_seeds_are_shared_by_at_least_half_of_the_settings():
    three = {0, 1, 2}
    assert grouping.shared_seeds([three] * 9 + [{0, 1, 2, 3}]) == three
    assert grouping.shared_seeds([three] * 9 + [{0}]) == three
    assert grouping.shared_seeds([{0}] * 9 + [set(range(50))]) == {0}
    assert grouping.shared_seeds([{0, 1}, {1, 2}, {1}]) == {1}
    assert grouping.shared_seeds([{0}, {1}, {2}]) in ({0}, {1}, {2})
    assert grouping.shared_seeds([set(), set()]) == set()


def test_numbers_of_the_command_line_are_searched_and_those_of_a_recipe_are_not():
    chosen = [student("kd", s, cell={"learning_rate": r}, accuracy=0.9 + r) for r in (0.01, 0.02, 0.03, 0.04) for s in (0, 1)]
    (found,) = sweeps.findings(chosen)
    assert found.ranked[0].label == "kd learning rate 0.04" and len(found.ranked) == 4
    assert parameter_curves.parameter_curves(chosen).axes[0].get_xlabel() == "learning rate"
    edited = [student("kd", s, recipe={"learning_rate": r}) for r in (0.01, 0.02, 0.03, 0.04) for s in (0, 1)]
    assert sweeps.findings(edited) == []


def test_precisions_are_paired_within_one_recipe():
    narrow = [student("kd", s, cell={"precision": "bfloat16"}, recipe={"epochs": 4}) for s in range(2)]
    assert precisions.table([student("kd", s) for s in range(2)] + narrow) is None
    assert len(precisions.table([student("kd", s, recipe={"epochs": 4}) for s in range(2)] + narrow).frame) == 1


@pytest.fixture
def written(tmp_path):
    """Writes records and returns the words that name their store."""

    def write(records):
        for record in records:
            Store(tmp_path).write(record)
        return ["--store", str(tmp_path)]

    return write


def test_numbers_of_the_recipe_are_columns_and_can_be_selected(written, capsys):
    store = written([student("abkd", 0), student("abkd", 1, recipe={"epochs": 4}), student("kd", 0, code="2", second=90)])
    frame = Store(store[1]).frame()
    assert sorted(frame["epochs"]) == [4, 20, 20] and set(frame["alpha"].dropna()) == {0.8}
    for where in ("epochs=4", "learning_rate=.1", "alpha=0.80", "commit=1abcdef", "status=ok"):
        assert main(["compare", *store, "--where", "method=abkd", "--where", where, "--format", "csv"]) == 0
        read = pandas.read_csv(io.StringIO(capsys.readouterr().out))
        assert {"alpha", "beta", "epochs", "learning_rate"} <= set(read.columns), where
    assert main(["compare", *store, "--where", "epochs=5"]) == 1
    assert "epochs is there with 4, 20" in capsys.readouterr().err
    assert main(["compare", *store, "--where", "epochs=4,5"]) == 0
    assert "No record has epochs '5': epochs is there with 4, 20." in capsys.readouterr().err
    assert main(["compare", *store, "--where", "epoch!=5"]) == 2
    assert "did you mean 'epochs'?" in capsys.readouterr().err


# --- stores drawn at random ---

ACCURACIES = {
    "recipe": {20: 0.0, 4: 0.0625},
    "data": {"aaa": 0.0, "bbb": 0.125},
    "teacher": (0.0, 0.25),
    "code": {"1": 0.0, "2": 0.5},
}


def drawn_store(generator: random.Random) -> list[Record]:
    """Two recipes, teachers, states of the code and data; the accuracy is a number for each of the sixteen trainings."""
    records = []
    for _ in range(generator.randrange(4, 18)):
        epochs, data, teacher, code = (generator.choice(pair) for pair in ((20, 4), ("aaa", "bbb"), (0, 1), ("1", "2")))
        accuracy = (
            ACCURACIES["recipe"][epochs] + ACCURACIES["data"][data] + ACCURACIES["teacher"][teacher] + ACCURACIES["code"][code]
        )
        record = student(
            generator.choice(["sft", "kd", "abkd"]),
            generator.randrange(4),
            recipe={"epochs": epochs},
            data=data,
            teacher=teacher,
            code=code,
            accuracy=accuracy,
            backend=generator.choice(["torch", "jax"]),
            second=generator.randrange(10_000),
            cell={"temperature": generator.choice([2.0, 4.0])},
        )
        record.key += record.backend
        if generator.random() < 0.15:
            record = old_or_edited(record, generator)
        records.append(record)
    return records


def old_or_edited(record: Record, generator: random.Random) -> Record:
    """A record that lost something of what decides it, as old ones never had it; its accuracy is unlike all others."""
    lost = generator.choice(["recipe", "data", "logits", "decided"])
    record.details.pop(lost)
    record.metrics["test/accuracy"] = 2.0 + ["recipe", "data", "logits", "decided"].index(lost) + generator.random()
    return record


def test_no_figure_of_any_drawn_store_mixes_two_trainings():
    """Each training has an accuracy of its own, without scatter: a mean of two trainings is none of these numbers."""
    generator = random.Random(12)
    for number in range(200):
        records = drawn_store(generator)
        usual = {r.metrics["test/accuracy"] for r in records if r.metrics["test/accuracy"] < 1}
        shown = every.tables(records)
        for table in shown:
            if table.data is None or "mean" not in table.data:
                continue
            for row in table.data.to_dict("records"):
                if row["mean"] < 1:
                    assert row["mean"] in usual, (table.title, row)
                    assert math.isnan(row["standard_error"]) or row["standard_error"] == 0, (table.title, row)
                    difference = row.get("difference", math.nan)
                    assert math.isnan(difference) or difference == 0 or not table.title.startswith("Against"), (
                        table.title,
                        row,
                    )
        for found in sweeps.findings(records):
            assert all(len(set(s.values.values())) == 1 for s in found.ranked if max(s.values.values()) < 1), found.title
        for container in methods_figure.methods(records).axes[0].containers if number % 12 == 0 else ():
            (mean,) = container.lines[0].get_ydata()
            assert mean > 1 or mean in usual
        read = pandas.read_csv(io.StringIO(to_csv(shown)))
        assert set(read["table"]) == {table.title for table in shown if table.data is None or len(table.data)}


WRONG = (None, True, -1, 10**30, 1e308, math.nan, "", "x", "=1+1", "<script>", [], [1, [2]], {}, {"a": {"b": 1}}, ["1", None])


def places(value, path=()):
    """Every place in a record as JSON."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*path, name))


@pytest.mark.filterwarnings("ignore:left out record")
def test_a_field_of_a_wrong_type_ends_neither_compare_nor_figures():
    """One field of a whole store is written by hand; what the record itself does not refuse must be shown or left out."""
    generator = random.Random(5)
    store = [student(m, s, cell={"alpha": s / 10, "beta": 0.2}) for m in ("kd", "abkd") for s in range(4)]
    store += [student("kd", s, backend="jax") for s in range(2)]
    store += [agreement(details={"worst": [{"excess": 0.5}]}), loss(), loss("framework_kl"), trace(), trace("jax")]
    written = [json.loads(record.to_json()) for record in store]
    drawn = [draw for _, draw in (*OF_INVOCATION["distill"], *OF_INVOCATION["agreement"]) if draw is not near_lines.near_lines]
    tried = 0
    for _ in range(110):
        edited = copy.deepcopy(generator.choice(written))
        *path, last = generator.choice(list(places(edited)))
        functools.reduce(lambda holder, name: holder[name], path, edited)[last] = generator.choice(WRONG)
        try:
            record = Record.from_json(json.dumps(edited))
        except (RecordError, IndexError, OverflowError, ValueError):
            continue  # the record's own types are another test's
        tried += 1
        records = [*store, record]
        generator.shuffle(records)
        try:
            to_csv(every.tables(records))
            for draw in drawn if tried % 40 == 0 else drawn[:1]:
                draw(records)
        except Exception as error:
            raise AssertionError(f"{path} {last}: {edited}") from error
    assert tried > 50
