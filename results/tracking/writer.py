"""One connection to MLflow: experiments, a run for each command, a run within it for each cell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from results.figures import style
from results.figures.learning_curves import learning_curves
from results.figures.of_invocation import OF_INVOCATION
from results.records import sweep_notes
from results.records.record import Record, Status
from results.records.store import Store
from results.tracking import database, entities, headline, views
from results.tracking.connection import TrackingError, client, first_line, is_server, tracking_uri
from results.tracking.deadline import Clock, TimeIsUpError
from results.tracking.outcome import Sent

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run


_BATCH = 900  # log_batch takes 1,000 metrics and params at once
# of cells that nobody has begun: they are counted in the run of their command, and have none of their own
NOT_RUN = (Status.MISSING_DATA, Status.MISSING_WEIGHTS, Status.UNSUPPORTED)


class Writer:
    """One connection to MLflow and the experiments it has looked up."""

    def __init__(self, store: Store, clock: Clock, outcome: Sent) -> None:
        self.store, self.clock, self.outcome = store, clock, outcome
        self.uri = tracking_uri(store)
        self.client = client(store)
        self._records: dict[str, list[Record]] = {}
        self._places: dict[str, str] = {}  # of runs: where their files go

    def send_suite(self, suite: str, records: list[Record]) -> None:
        """Send the records of one suite, grouped under a parent run for each invocation."""
        experiment = self._experiment(suite)
        changed = False
        for invocation in dict.fromkeys(record.invocation for record in records):
            self.clock.tick()
            group = [record for record in records if record.invocation == invocation]
            changed |= self._send_group(experiment, suite, invocation, group)
        if changed:
            self._show(experiment, suite)
            with self._going_on(f"the comparison of frameworks of {suite}"):
                self._compare_frameworks(experiment, suite)

    def _send_group(self, experiment: str, suite: str, invocation: str, group: list[Record]) -> bool:
        """Send the records of one invocation; whether anything was new."""
        began = [record for record in group if record.status not in NOT_RUN]
        self.outcome.left_out += len(group) - len(began)
        runs = self._runs(experiment, invocation)
        for record in group:
            run = runs.get(record.key)
            # a cell that failed, and was run once more within the same sweep
            again = run is not None and run.info.status != "RUNNING"
            if again and (run.info.end_time or 0) < entities.milliseconds(record.finished):
                self.client.delete_run(runs.pop(record.key).info.run_id)
        new = [record for record in began if not self._is_whole(record, runs.get(record.key))]
        self.outcome.known += len(began) - len(new)
        keys = {record.key for record in new}
        for record in group:
            if record.key not in keys:
                self.store.mark_sent(record)
        if not new:
            return False
        parent = runs[""].info.run_id if "" in runs else self._create_parent(experiment, suite, invocation, group)
        for record in new:
            with self._going_on(f"the record {record.key}"):
                self._send_record(experiment, parent, record, runs.get(record.key))
                self.store.mark_sent(record)
                self.outcome.sent += 1
            self.clock.tick()
        with self._going_on(f"the run of the command {invocation}"):
            self._finish_parent(parent, suite, invocation)
        return True

    def _is_whole(self, record: Record, run: Run | None) -> bool:
        """Whether MLflow has all of a record: a sending may have broken off, or files may be missing in a store's copy."""
        if run is None or run.info.status == "RUNNING":
            return False
        if not (record.curves or record.artifacts or record.details.get("worst")) or is_server(self.uri):
            return True
        place = database.local(run.info.artifact_uri)
        own = place is not None and database.owner(place) == self.store.path
        return not own or place.is_dir()

    @contextlib.contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """A record that MLflow or a figure cannot take stops no other one; it stays queued, and is named."""
        try:
            yield
        except (TimeIsUpError, OSError):
            raise
        except Exception as error:  # a record may hold anything
            if not _is_of_one_record(error):
                raise
            self.outcome.refused += [f"{what} was refused: {type(error).__name__}: {first_line(error)}"]

    def remove(self, suite: str, records: list[Record]) -> None:
        """Delete the runs of records that are about to be removed, and the runs of commands that have no other."""
        experiment = self._experiment(suite)
        keys = {record.key for record in records}
        self._records[suite] = [record for record in self._of_suite(suite) if record.key not in keys]
        for invocation in dict.fromkeys(record.invocation for record in records):
            self.clock.tick()
            runs = self._runs(experiment, invocation)
            gone = [key for key in runs if key in keys]
            for key in gone:
                self.client.delete_run(runs.pop(key).info.run_id)
                self.outcome.sent += 1
                self.clock.tick()
            if "" in runs and len(runs) == 1:
                self.client.delete_run(runs[""].info.run_id)
            elif "" in runs and gone:
                with self._going_on(f"the run of the command {invocation}"):
                    self._finish_parent(runs[""].info.run_id, suite, invocation)

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
            artifacts = None if is_server(self.uri) else self._place_for_files(name).as_uri()
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

    def _place_for_files(self, name: str) -> Path:
        """The folder for files of a new experiment: beside its database, or in the store."""
        file = database.path_in(self.uri) if "MLFLOW_TRACKING_URI" in os.environ else None
        beside = database.artifacts_of(self.store) if file is None else file.absolute().parent / database.ARTIFACTS
        return beside / name

    def _runs(self, experiment: str, invocation: str) -> dict[str, Run]:
        """Key to run for an invocation's runs; its parent run has the key ""."""
        # A filter cannot hold every text: what stands for such a letter fits any, and the tag itself decides.
        like = re.sub(r"[^\w .:+-]", "_", invocation)
        comparison = "=" if like == invocation else "LIKE"
        found = self._search(experiment, f"tags.`abkd.invocation` {comparison} '{like}'")
        return {run.data.tags.get("abkd.key", ""): run for run in found if run.data.tags["abkd.invocation"] == invocation}

    def _search(self, experiment: str, condition: str) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs([experiment], condition, max_results=1000, page_token=token)
            for run in page:
                self._places[run.info.run_id] = run.info.artifact_uri
                yield run
            token = page.token
            if not token:
                return

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
        run_id = self._create_run(experiment, first, tags)
        params = {"backend": backends}
        for name in ("pair", "dataset", "scale"):
            values = dict.fromkeys(str(r.cell[name]) for r in records if r.cell.get(name) is not None)
            if values:
                params[name] = ", ".join(values)
        params |= {} if noted is None else noted["words"]
        self._log(run_id, params, [])
        return run_id

    def _create_run(self, experiment: str, record: Record, tags: dict[str, str]) -> str:
        run = self.client.create_run(experiment, start_time=entities.milliseconds(record.started), tags=tags)
        if not run.info.run_id:  # whatever answers, with what is JSON, need not be MLflow
            raise TrackingError(f"MLflow {self.outcome.uri} made a run without an id; look at what answers there.")
        self._places[run.info.run_id] = run.info.artifact_uri
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
                path = style.save(figure, self.store.invocation_dir(suite, invocation) / f"{name}.png")
                self._log_file(parent, path, "figures")
        self._log_tables(parent, _summary(records))
        words, figures = headline.headline(suite, records)
        self._log(parent, {}, entities.figures(figures, records))
        self.client.set_tag(parent, "mlflow.runName", f"{words}, {_title(suite, invocation, records)} {_when(records)}"[:240])
        last = max((record.finished for record in records), default="")
        well = all(record.status in (Status.OK, Status.PRUNED, *NOT_RUN) for record in records)
        worst = "FINISHED" if well else "FAILED"
        self.client.set_terminated(parent, status=worst, end_time=entities.milliseconds(last))

    def _compare_frameworks(self, experiment: str, suite: str) -> None:
        """Put what several frameworks have run in common into the parent run of every command that took part.

        That includes runs which were sent before the second framework had a record; what is there is replaced.
        """
        from results.figures import frameworks as framework_figure
        from results.tables import framework_steps, frameworks

        records = self._of_suite(suite) if suite == "distill" else []
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
                self._log_file(parent.info.run_id, path, "figures")
            self._log_text(parent.info.run_id, tables, "tables/frameworks.md")
            self.clock.tick()

    def _send_record(self, experiment: str, parent: str, record: Record, run: Run | None) -> None:
        """Log one record. A run that an earlier, interrupted sending left RUNNING is completed, not doubled.

        The run becomes FINISHED (or FAILED) last, so that whatever broke off before is logged again; everything that is
        logged replaces what was there.
        """
        if run is None:
            tags = {"mlflow.runName": record.title, "mlflow.parentRunId": parent, **entities.tags(record)}
            run_id = self._create_run(experiment, record, tags)
        else:
            run_id = run.info.run_id
        self._log(run_id, entities.params(record), entities.metrics(record))
        data = entities.inputs(record)
        if data:
            self.client.log_inputs(run_id, data)
        self._log_tables(run_id, entities.tables(record))
        figure = learning_curves(record)
        if figure is not None:
            path = style.save(figure, self.store.artifacts_dir(record) / "learning_curves.png")
            self._log_file(run_id, path, "figures")
        for name in record.artifacts:
            file = self.store.file_of(record, name)
            if file is not None:  # a record that came from another machine may have come alone
                self._log_file(run_id, file, entities.name_of(name))
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
            self._log_text(run_id, text, path)
        shown = [{"path": path, "type": "table"} for path in tables if path.endswith(".json")]
        if shown:
            self.client.set_tag(run_id, entities.TABLES_TAG, json.dumps(shown))

    def _log_file(self, run_id: str, path: Path, folder: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if self._takes_files(run_id):
            # MlflowClient keeps the places of runs by their ids, which a store and its copy share
            get_artifact_repository(self._places[run_id], tracking_uri=self.uri).log_artifact(str(path), folder or None)

    def _log_text(self, run_id: str, text: str, path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / PurePosixPath(path).name
            file.write_text(text, encoding="utf-8")
            self._log_file(run_id, file, str(PurePosixPath(path).parent))

    def _takes_files(self, run_id: str) -> bool:
        """Whether a run's files may be written: not where another store lies, or this one lay before it was moved."""
        place = self._places[run_id]
        if not database.is_of_another_store(place, self.store):
            return True
        folder = database.owner(database.local(place))
        self.outcome.remarks.append(f"Figures and files are left out: this MLflow keeps them in another store, {folder}.")
        return False

    def _show(self, experiment: str, suite: str) -> None:
        """Let the run table show what this version of the project shows, also of an experiment that an earlier one made."""
        known = self.client.get_experiment(experiment).tags
        for name, value in views.experiment_tags(suite).items():
            if known.get(name) != value:
                self.client.set_experiment_tag(experiment, name, value)

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


def _is_of_one_record(error: Exception) -> bool:
    """Whether an error is about what was sent; otherwise it would meet the next record as well."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException):
        return error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    return not isinstance(error, (RequestException, SQLAlchemyError, TrackingError)) and not type(error).__module__.startswith(
        "google."
    )


def _title(suite: str, invocation: str, records: list[Record]) -> str:
    backends = ", ".join(dict.fromkeys(record.backend for record in records))
    return f"{'sweep' if invocation.startswith('sweep-') else suite} {backends}"


def _when(records: list[Record]) -> str:
    return min((record.started for record in records), default="")[:16].replace("T", " ")


def _summary(records: list[Record]) -> dict[str, str]:
    """The tables of a parent run: every cell with its figures, and what `compare` says of them."""
    from results.tables import every

    rows = [{**record.cell, "status": str(record.status), **record.metrics, "message": record.message} for record in records]
    comparison = "\n".join(table.to_markdown() for table in every.tables(records))
    return {"tables/cells.json": entities.split(rows), "tables/comparison.md": comparison}
