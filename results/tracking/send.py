"""MLflow, fed from the store by one writer: an experiment a suite, a parent run an invocation, a child run a cell.

A record is always in the store before it comes here, so a tracking server that is down, or no MLflow at all, loses
nothing: the record stays queued until `sync` sends it. Sending twice makes no second run.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.figures import style
from results.figures.learning_curves import learning_curves
from results.figures.of_invocation import OF_INVOCATION
from results.records import sweep_notes
from results.records.record import Record, Status, newest
from results.records.store import Store
from results.tracking import entities, views
from results.tracking.connection import (
    TrackingError,
    check_installed,
    check_reachable,
    client,
    errors_in_one_line,
    one_writer,
    tracking_uri,
    without_password,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric

NEXT_STEP = "`nox -s sync` (or `python -m results sync`) sends them later"

_BATCH = 900  # log_batch takes 1,000 metrics and params at once


@dataclasses.dataclass
class Sent:
    """What became of the records.

    Attributes:
        sent: records that are new in MLflow.
        known: records that it had already.
        queued: records that it did not get.
        uri: the tracking URI.
        problem: why records stay queued, in one line; "" where none do.
    """

    sent: int = 0
    known: int = 0
    queued: int = 0
    uri: str = ""
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.problem} {self.queued} records stay in the store; {NEXT_STEP}."
        return f"MLflow {self.uri}: {self.sent} records sent, {self.known} already there."


def send(records: list[Record], store: Store, sweep_names: Sequence[str] = ()) -> Sent:
    """Log records to MLflow; those it has already are left alone.

    Best called once at the end of a suite (also an interrupted one): the figure of the parent run is drawn each time.

    Args:
        records: records that lie in `store`.
        store: where they lie; with no MLFLOW_TRACKING_URI also where MLflow's own data go.
        sweep_names: sweeps (`results.records.sweep_notes`) that get a run also where all their records are of other commands.

    Returns:
        What became of them. Nothing is raised where MLflow is missing, down or refuses: the records stay queued, and
        `Sent.problem` says why.
    """
    outcome = Sent(uri=without_password(tracking_uri(store)))
    try:
        check_reachable(tracking_uri(store))
        check_installed()
        with one_writer(store), errors_in_one_line(outcome.uri):
            writer = _Writer(store)
            for suite in dict.fromkeys(record.suite for record in records):
                writer.send_suite(suite, [record for record in records if record.suite == suite], outcome)
            for name in sweep_names:
                writer.send_sweep(name)
    except TrackingError as error:
        outcome.problem = str(error)
        waiting = set(store.queued())
        unsent = len(records) - outcome.sent - outcome.known
        # A server that is down cannot say which records it has; those that were never sent anywhere are marked.
        outcome.queued = sum((record.suite, record.key) in waiting for record in records) or unsent
    return outcome


def sync(store: Store) -> Sent:
    """Send every record of the store that MLflow does not have, whether it was queued or came from another machine."""
    return send(store.records(), store, sweep_notes.names(store))


class _Writer:
    """One connection to MLflow and the experiments it has looked up."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.uri = tracking_uri(store)
        self.client = client(store)
        self._records: dict[str, list[Record]] = {}

    def send_suite(self, suite: str, records: list[Record], outcome: Sent) -> None:
        """Send the records of one suite, grouped under a parent run for each invocation."""
        experiment = self._experiment(suite)
        changed = False
        for invocation in dict.fromkeys(record.invocation for record in records):
            group = [record for record in records if record.invocation == invocation]
            runs = self._runs(experiment, invocation)
            for record in group:
                _, status, ended = runs.get(record.key, ("", "RUNNING", 0))
                # a cell that failed, and was run once more within the same sweep
                if status != "RUNNING" and ended < entities.milliseconds(record.finished):
                    self.client.delete_run(runs.pop(record.key)[0])
            new = [record for record in group if runs.get(record.key, (None, "RUNNING"))[1] == "RUNNING"]
            outcome.known += len(group) - len(new)
            keys = {record.key for record in new}
            for record in group:
                if record.key not in keys:
                    self.store.mark_sent(record)
            if not new:
                continue
            parent = runs[""][0] if "" in runs else self._create_parent(experiment, suite, invocation, group)
            for record in new:
                self._send_record(experiment, parent, record, runs[record.key][0] if record.key in runs else None)
                self.store.mark_sent(record)
                outcome.sent += 1
            self._finish_parent(parent, suite, invocation)
            changed = True
        if changed:
            self._compare_frameworks(experiment, suite)

    def send_sweep(self, name: str) -> None:
        """A run for a sweep whose records all come from other commands; the others have one."""
        suite = sweep_notes.SUITE
        experiment = self._experiment(suite)
        if "" not in self._runs(experiment, name):
            records = self._shown(suite, name)
            if records:
                self._finish_parent(self._create_parent(experiment, suite, name, records), suite, name)

    def _experiment(self, suite: str) -> str:
        """The id of a suite's experiment; made once, restored where someone deleted it in the UI."""
        from mlflow.exceptions import MlflowException

        name = f"abkd-{suite}"
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            # A server decides itself where artifacts lie; otherwise MLflow would put them into the current directory.
            local = not self.uri.startswith(("http://", "https://", "databricks"))
            artifacts = (self.store.path / "mlartifacts" / name).as_uri() if local else None
            tags = views.experiment_tags(suite)
            try:
                return self.client.create_experiment(name, artifact_location=artifacts, tags=tags)
            except MlflowException:
                experiment = self.client.get_experiment_by_name(name)  # another machine was faster
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _runs(self, experiment: str, invocation: str) -> dict[str, tuple[str, str, int]]:
        """Key to (run id, status, end in milliseconds) for an invocation's runs; its parent run has the key ""."""
        runs: dict[str, tuple[str, str, int]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], f"tags.`abkd.invocation` = '{invocation}'", max_results=1000, page_token=token
            )
            for run in page:
                runs[run.data.tags.get("abkd.key", "")] = (run.info.run_id, run.info.status, run.info.end_time or 0)
            token = page.token
            if not token:
                return runs

    def _create_parent(self, experiment: str, suite: str, invocation: str, records: list[Record]) -> str:
        first, noted = min(records, key=lambda record: record.started), sweep_notes.read(self.store, invocation)
        backends = ", ".join(dict.fromkeys(record.backend for record in records))
        when = first.started[:16].replace("T", " ")
        tags = {
            "mlflow.runName": f"{suite if noted is None else 'sweep'} {backends} {when}".strip(),
            "abkd.invocation": invocation,
            "abkd.suite": suite,
            **entities.source_tags(first),
            **entities.environment_tags(first),
        }
        run = self.client.create_run(experiment, start_time=entities.milliseconds(first.started), tags=tags)
        params = {"backend": backends}
        for name in ("pair", "dataset", "scale"):
            values = dict.fromkeys(str(r.cell[name]) for r in records if r.cell.get(name) is not None)
            if values:
                params[name] = ", ".join(values)
        params |= {} if noted is None else noted["words"]
        self._log(run.info.run_id, params, [])
        return run.info.run_id

    def _finish_parent(self, parent: str, suite: str, invocation: str) -> None:
        """Summarise and close the parent run from all that the store holds of its invocation, or of its sweep."""
        records = self._shown(suite, invocation)
        counts = {f"cells.{name}": sum(r.status == name for r in records) for name in {r.status for r in records}}
        for tag, count in counts.items():
            self.client.set_tag(parent, tag, str(count))
        for tag in self.client.get_run(parent).data.tags:
            if tag.startswith("cells.") and tag not in counts:  # of a sweep whose failed cells have been run again
                self.client.delete_tag(parent, tag)
        for name, draw in OF_INVOCATION.get(suite, ()):
            figure = draw(records)
            if figure is not None:
                path = style.save(figure, self.store.path / "artifacts" / suite / f"invocation-{invocation}" / f"{name}.png")
                self.client.log_artifact(parent, str(path), "figures")
        self._log_tables(parent, _summary(records))
        last = max((record.finished for record in records), default="")
        well = all(record.status in (Status.OK, Status.PRUNED) for record in records)
        worst = "FINISHED" if well else "FAILED"
        self.client.set_terminated(parent, status=worst, end_time=entities.milliseconds(last))

    def _compare_frameworks(self, experiment: str, suite: str) -> None:
        """Put what several frameworks have run in common into the parent run of every command that took part.

        That includes runs which were sent before the second framework had a record; what is there is replaced.
        """
        from results.figures import frameworks as framework_figure
        from results.tables import framework_steps, frameworks

        records = newest(self._of_suite(suite)) if suite == "distill" else []
        cells = frameworks.compared(records)
        if not cells:
            return
        drawn = {
            name: style.save(figure, self.store.path / "artifacts" / suite / "frameworks" / f"{name}.png")
            for name, figure in framework_figure.figures(records).items()
        }
        tables = "\n".join(table.to_markdown() for table in (*frameworks.tables(records), *framework_steps.tables(records)))
        taking_part = (r for cell in cells for side in cell.sides for runs in side.runs.values() for r in runs)
        for invocation in dict.fromkeys(record.invocation for record in taking_part):
            parent = self._runs(experiment, invocation).get("")
            if parent is None:
                continue  # another machine's command whose records are still to be sent
            for path in drawn.values():
                self.client.log_artifact(parent[0], str(path), "figures")
            self.client.log_text(parent[0], tables, "tables/frameworks.md")

    def _send_record(self, experiment: str, parent: str, record: Record, run_id: str | None) -> None:
        """Log one record. A run that an earlier, interrupted sending left RUNNING is completed, not doubled.

        The run becomes FINISHED (or FAILED) last, so that whatever broke off before is logged again; everything that is
        logged replaces what was there.
        """
        if run_id is None:
            tags = {"mlflow.runName": record.title, "mlflow.parentRunId": parent, **entities.tags(record)}
            run_id = self.client.create_run(experiment, start_time=entities.milliseconds(record.started), tags=tags).info.run_id
        self._log(run_id, entities.params(record), entities.metrics(record))
        data = entities.inputs(record)
        if data:
            self.client.log_inputs(run_id, data)
        self._log_tables(run_id, entities.tables(record))
        figure = learning_curves(record)
        if figure is not None:
            path = style.save(figure, self.store.artifacts_dir(record) / "learning_curves.png")
            self.client.log_artifact(run_id, str(path), "figures")
        for name, path in record.artifacts.items():
            if (self.store.path / path).is_file():  # a record that came from another machine may have come alone
                self.client.log_artifact(run_id, str(self.store.path / path), entities.name_of(name))
        status = {Status.OK: "FINISHED", Status.PRUNED: "KILLED"}.get(record.status, "FAILED")
        self.client.set_terminated(run_id, status=status, end_time=entities.milliseconds(record.finished))

    def _shown(self, suite: str, invocation: str) -> list[Record]:
        """What a parent run summarises: the records of its invocation, or all of its sweep, whichever command made them."""
        noted = sweep_notes.read(self.store, invocation)
        keys = set() if noted is None else set(noted["keys"])
        return [record for record in self._of_suite(suite) if record.invocation == invocation or record.key in keys]

    def _log_tables(self, run_id: str, tables: dict[str, str]) -> None:
        """Tables as MLflow's UI shows them, by path."""
        for path, text in tables.items():
            self.client.log_text(run_id, text, path)
        shown = [{"path": path, "type": "table"} for path in tables if path.endswith(".json")]
        if shown:
            self.client.set_tag(run_id, entities.TABLES_TAG, json.dumps(shown))

    def _of_suite(self, suite: str) -> list[Record]:
        """All records of a suite, read once for all its invocations."""
        if suite not in self._records:
            self._records[suite] = self.store.records(suite=suite)
        return self._records[suite]

    def _log(self, run_id: str, params: dict[str, str], metrics: list[Metric]) -> None:
        from mlflow.entities import Param

        listed = [Param(name, value) for name, value in params.items()]
        self.client.log_batch(run_id, params=listed, metrics=metrics[:_BATCH])
        for start in range(_BATCH, len(metrics), _BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _summary(records: list[Record]) -> dict[str, str]:
    """The tables of a parent run: every cell with its figures, and what `compare` says of them."""
    from results.tables import every

    rows = [{**record.cell, "status": str(record.status), **record.metrics, "message": record.message} for record in records]
    comparison = "\n".join(table.to_markdown() for table in every.tables(records))
    return {"tables/cells.json": entities.split(rows), "tables/comparison.md": comparison}


def describe_queue(store: Store) -> str:
    """One line on the records that MLflow has not got yet; "" where there are none."""
    queued = store.queued()
    return f"{len(queued)} records are not in MLflow yet; {NEXT_STEP}." if queued else ""


__all__ = ["NEXT_STEP", "Sent", "TrackingError", "describe_queue", "send", "sync", "tracking_uri", "without_password"]
