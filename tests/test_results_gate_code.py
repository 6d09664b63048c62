"""A gate judges the code that it stands in: which records are of it is asked of the suites."""

import dataclasses

import pytest

from results import Record, Store
from results.__main__ import main
from results.gate import present
from results.gate.update import update
from suites import present as suites_present

DESCRIPTION = {"threads": "1", "deterministic": "True", "version": "2"}
DIGITS = {"backend": "torch", "pair": "digits-teacher:digits-student", "dataset": "digits", "method": "kd", "scale": "smoke",
          "dtype": "float32", "device": "cpu", "temperature": 4.0, "distill_weight": 2.0, "hard_weight": 1.0}  # fmt: skip
DIVERGENCE = {"backend": "torch", "divergence": "ab_divergence", "dtype": "float64", "scale": "smoke", "device": "cpu"}


def measured(suite, cell, **fields):
    """A record as the suites would write it today."""
    today = suites_present.today(suite, cell, DESCRIPTION)
    assert "error" not in today, today
    figures = {
        "agreement": {"agreement/value_error": 1e-15, "agreement/gradient_error": 1e-14},
        "distill": {"test/accuracy": 0.9},
    }
    details = {"decided": {"code": today["code"], "other": today["other"]}}
    if suite == "distill":
        details |= {"recipe": today["recipe"], "data": {"digest": today["data"]}}
    return Record(
        **{
            "suite": suite,
            "backend": "torch",
            "key": today["key"],
            "invocation": "first",
            "cell": cell,
            "status": "ok",
            "metrics": figures[suite],
            "details": details,
            "environment": {"git_commit": "abc", **{f"backend.{name}": value for name, value in DESCRIPTION.items()}},
            "finished": "2026-01-01T00:00:00+00:00",
            **fields,
        }
    )


@pytest.fixture(scope="module")
def student():
    return measured("distill", DIGITS | {"seed": 0})


@pytest.fixture(scope="module")
def errors():
    return measured("agreement", DIVERGENCE)


def by_other_code(record, file="backends/torch/losses/rows.py"):
    """The same, of a state of the project in which a file was another one."""
    decided = record.details["decided"]
    assert file in decided["code"]
    code = decided["code"] | {file: "0" * 16}
    return dataclasses.replace(record, key="of-other-code", details=record.details | {"decided": decided | {"code": code}})


def by_earlier_version(record, **details):
    """The same, of a version that did not note by what code."""
    kept = {name: value for name, value in record.details.items() if name != "decided"} | details
    return dataclasses.replace(record, key="of-earlier-version", details=kept)


def answered(records):
    return [suites_present.today(r.suite, r.cell, DESCRIPTION) for r in records]


def reasons(records, accept=False):
    return list(present.choose(records, accept, answered).stale.values())


def test_the_suites_answer_for_records_of_every_kind(student, errors):
    odd = dataclasses.replace(errors, key="odd", cell=errors.cell | {"divergence": "no_such"})
    of_times = Record(suite="loss", backend="torch", key="t", invocation="i", status="ok",
                      cell={"backend": "torch", "rows": 512, "classes": 50257, "dtype": "float32", 
                            "divergence": "ab_divergence", "alpha": 0.8, "beta": 0.2})  # fmt: skip
    first, second, third, fourth = present.asked_of_suites([student, errors, odd, of_times])
    assert first["key"] == student.key and second["key"] == errors.key and "error" in third
    assert fourth["code"] and "key" not in fourth
    chosen = present.choose([student, errors, odd], accept_other_code=False)
    assert (
        list(chosen.stale) == [("agreement", "torch", "odd")] and "does not know" in chosen.stale["agreement", "torch", "odd"]
    )


def test_records_of_other_code_are_stale_until_they_are_accepted(student, errors):
    for record in (student, errors):
        assert reasons([record]) == []
        (reason,) = reasons([by_other_code(record)])
        assert "backends/torch/losses/rows.py changed" in reason
        (reason,) = reasons([by_earlier_version(record)])
        assert "earlier version" in reason
        assert reasons([by_other_code(record)], accept=True) == reasons([by_earlier_version(record)], accept=True) == []


def test_another_recipe_or_other_data_is_never_accepted(student):
    other = dataclasses.replace(student, key="k", details={"decided": student.details["decided"] | {"other": "0" * 32}})
    recipe = student.details["recipe"] | {"epochs": 4}
    for record in (other, by_earlier_version(student, recipe=recipe), by_earlier_version(student, data={"digest": "x"})):
        (reason,) = reasons([record], accept=True)
        assert "than today's" in reason


def test_without_the_data_code_and_recipe_are_compared(student, monkeypatch):
    monkeypatch.setattr(suites_present.cells, "_data_digest", lambda cell, seed: suites_present.cells.MISSING)
    assert reasons([student]) == [] and "rows.py changed" in reasons([by_other_code(student)])[0]
    (reason,) = reasons([dataclasses.replace(student, details=student.details | {"recipe": {"epochs": 4}})])
    assert "another recipe than today's (epochs)" in reason


def test_hostile_details_are_another_code_and_no_traceback(student):
    # the last one is that of another key; others than objects are refused by the record itself
    for decided in (
        {"code": {}},
        {"other": student.details["decided"]["other"], "code": {"a": []}},
        student.details["decided"],
    ):
        record = dataclasses.replace(student, key="k", details={"decided": decided})
        assert len(reasons([record])) == 1


def test_a_record_of_todays_code_goes_before_a_newer_one_of_other_code(student):
    newer = dataclasses.replace(by_other_code(student), finished="2026-02-01T00:00:00+00:00", metrics={"test/accuracy": 0.1})
    for accept in (False, True):
        chosen = present.choose([newer, student], accept, answered)
        assert chosen.records == [student] and not chosen.stale
    recipe = dataclasses.replace(
        student, key="r", finished="2026-03-01T00:00:00+00:00", details={"decided": {"other": "0", "code": {}}}
    )
    assert present.choose([recipe, newer], True, answered).records == [newer]


def test_the_command_passes_fresh_records_and_says_what_is_stale(tmp_path, errors, capsys):
    folder = tmp_path / "baselines"
    folder.mkdir()
    update([errors], "the first recorded run", folder=folder)
    words = ["gate", "--baselines", str(folder), "--store"]
    Store(tmp_path / "fresh").write(errors)
    assert main([*words, str(tmp_path / "fresh")]) == 0 and "torch: 1 record of abc" in capsys.readouterr().out
    Store(tmp_path / "old").write(by_other_code(errors))
    assert main([*words, str(tmp_path / "old")]) == 1
    told = capsys.readouterr().out
    assert "Gate: FAILED" in told and "| stale" in told and "rows.py changed" in told and "nox -s torch" in told
    assert main([*words, str(tmp_path / "old"), "--update", "--reason", "figures of other code"]) == 2
    assert "stale" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "old"), "--accept-other-code"]) == 0


def test_where_todays_code_cannot_be_read_the_gate_says_so(tmp_path, errors, capsys, monkeypatch):
    monkeypatch.setattr(present, "COMMAND", ("-m", "suites.no_such_module"))
    update([errors], "the first recorded run", folder=tmp_path)
    Store(tmp_path / "store").write(errors)
    assert main(["gate", "--baselines", str(tmp_path), "--store", str(tmp_path / "store")]) == 2
    assert "cannot be read" in (told := capsys.readouterr().err) and "Traceback" not in told
