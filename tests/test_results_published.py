"""Published figures get ours beside them at the paper's scale, and the reason why not everywhere else."""

import pytest
from results_examples import agreement, distill

from reference import claims
from results import Store
from results.__main__ import main
from results.tables import published

EXTENT = {
    "paper": {"recipe": {"epochs": 240}, "data": {"train": 50_000, "classes": 100, "stand_in": False}},
    "small": {"recipe": {"epochs": 15}, "data": {"train": 5_000, "classes": 20, "stand_in": False}},
    "smoke": {"recipe": {"epochs": 5}, "data": {"train": 898, "classes": 10, "stand_in": True}},
}
SOURCES = {"epochs": "CIFAR-100 recipe of the ABKD paper", "distill_weight": "declared by this project"}


def student(method, seed, scale, *, best=0.7, last=0.69, pair="resnet56:resnet20", **fields):
    cell = {"dataset": "cifar100", "pair": pair, "scale": scale} | fields.pop("cell", {})
    metrics = {"test/accuracy": last, "test/best_accuracy": best}
    key = f"{method}-{seed}-{scale}-{pair}".replace(":", "-")
    details = EXTENT[scale] | {"sources": SOURCES}
    return distill("sft", seed, cell={"method": method} | cell, metrics=metrics, key=key, details=details, **fields)


def rows(records):
    """Method to the rows of the table, as dicts of texts."""
    frame = published.table(records).frame
    found = {}
    for row in frame.to_dict("records"):
        found.setdefault(row["method"], []).append(row)
    return found


def test_paper_scale_is_set_beside_the_published_figure():
    records = [student("kd", seed, "paper", best=best, last=0.7) for seed, best in enumerate((0.708, 0.71, 0.712))]
    (row,) = rows(records)["kd"]
    assert row["published"] == "70.66" and row["ours, best epoch"] == "71.00 ± 0.12" and row["difference"] == "+0.34"
    assert row["ours, last epoch"] == "70.00 ± 0.00"
    assert "3 seeds" in row["about ours"] and "few" not in row["about ours"]
    assert "distill_weight: declared by this project" in row["about ours"] and "epochs" not in row["about ours"]


@pytest.mark.parametrize(
    ("scale", "words"), [("small", ["5,000 training images of 20 classes", "15 epochs"]), ("smoke", ["stand-in", "5 epochs"])]
)
def test_other_scales_get_their_reason_and_no_number(scale, words):
    records = [student("kd", seed, scale, best=0.8123, last=0.8012) for seed in range(3)]
    (row,) = rows(records)["kd"]
    assert row["about ours"].startswith("**not comparable**") and all(word in row["about ours"] for word in words)
    assert row["published"] == "70.66"
    assert [row[name] for name in ("ours, best epoch", "difference", "ours, last epoch")] == ["—"] * 3
    table = published.table(records)
    assert "81.2" not in table.to_markdown() + table.to_csv() and not table.data["comparable"].any()


def test_scales_of_one_method_are_rows_of_their_own():
    found = rows([student("kd", 0, "paper"), student("kd", 0, "small")])["kd"]
    assert sorted(row["about ours"].startswith("**not comparable**") for row in found) == [False, True]


def test_what_cannot_be_compared_for_one_reason_is_one_line():
    records = [student("kd", seed, "small", backend=backend) for seed in range(2) for backend in ("jax", "torch")]
    (row,) = rows(records)["kd"]
    assert row["about ours"].endswith("(torch, jax)")


def test_one_seed_is_few_and_what_did_not_end_is_counted():
    (row,) = rows([student("dkd", 0, "paper"), student("dkd", 1, "paper", status="diverged")])["dkd"]
    assert "1 seed, 1 diverged, few" in row["about ours"] and row["ours, best epoch"] == "70.00"


def test_what_was_not_run_or_not_published_says_so():
    found = rows([student("abkd", 0, "paper", cell={"alpha": 0.8, "beta": 0.3})])
    assert found["wttm"][0]["about ours"] == "not run" and found["wttm"][0]["published"] == "71.92"
    assert found["abkd"][0]["published"] == "not published" and found["abkd"][0]["ours, best epoch"] == "70.00"
    assert found["abkd"][0]["difference"] == "—"


def test_students_on_labels_alone_and_teachers_stand_beside_their_own_figures():
    records = [student("sft", 0, "paper", best=0.7), student("teacher", 0, "paper", best=0.72, pair="resnet56")]
    found = rows(records)
    assert found["student"][0]["difference"] == "+0.94" and found["teacher"][0]["difference"] == "-0.34"
    assert "sft" not in found


def test_precisions_frameworks_and_command_line_values_are_told_apart():
    given = student("kd", 0, "paper", second=9)
    given.details["sources"] = SOURCES | {"temperature": "command line"}
    records = [given, student("kd", 0, "paper", cell={"precision": "bfloat16"}), student("kd", 0, "paper", backend="jax")]
    texts = [row["about ours"] for row in rows(records)["kd"]]
    assert len(texts) == 3 and any("bfloat16" in text for text in texts) and any("jax" in text for text in texts)
    assert any("temperature: from the command line" in text for text in texts)


def test_records_of_no_published_pair_make_neither_table_nor_section(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "check_all", list)  # they have tests of their own, and take seconds
    records = [distill("kd"), agreement(), student("kd", 0, "smoke", pair="resnet14:resnet8")]
    assert published.table(records) is None
    store = Store(tmp_path)
    for record in records:
        store.write(record)
    assert main(["report", "--store", str(tmp_path)]) == 0
    assert "Beside the paper" not in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    store.write(student("kd", 0, "small"))
    assert main(["report", "--store", str(tmp_path)]) == 0
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert f"### {published.TITLE}" in text and "**not comparable**" in text and "## Beside the paper" in text
