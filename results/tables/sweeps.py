"""What a search over settings found: the best one, how sure that is, and which others cannot be told from it."""

import dataclasses
import math
from collections import Counter

import pandas

from results import grouping, metrics
from results.grouping import Labels
from results.records.record import Record, Status
from results.significance.differences import CONFIDENCE, FEW_SEEDS, LEVEL, Difference, difference, holm
from results.significance.means import mean_and_error
from results.tables import paired
from results.tables.table import Table
from results.words import number_word

# so many settings of one method are a search, fewer a comparison
SEARCH = 4
_MOST_ROWS = 12


@dataclasses.dataclass(frozen=True)
class Setting:
    """All seeds of one setting.

    Attributes:
        label: method and parameters.
        values: seed to figure, of the seeds that ended well.
        records: of all seeds.
    """

    label: str
    values: dict[int, float]
    records: list[Record]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return math.fsum(self.values.values()) / len(self.values)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The best setting of a search.

    Attributes:
        title: data set, pair, scale, backend.
        metric: what the settings are judged by.
        ranked: settings with the seeds that they share, best first; never empty.
        differences: of the best minus each other setting, in their order; None without a common seed.
        p_values: of them, with Holm's correction.
        left_out: how many settings have not these seeds.
        stopped: how many of those were stopped early.
        elsewhere: mean figure of the setting that the other seeds choose, on each seed; nan with one seed.
    """

    title: str
    metric: str
    ranked: list[Setting]
    differences: list[Difference | None]
    p_values: list[float]
    left_out: int
    stopped: int
    elsewhere: float

    @property
    def equals(self) -> list[Setting]:
        """Settings that cannot be told from the best one."""
        return [other for other, p in zip(self.ranked[1:], self.p_values, strict=True) if not p < LEVEL]

    def sentences(self) -> str:
        """What was found, in words."""
        best = self.ranked[0]
        seeds = len(best.values)
        mean, error = mean_and_error(list(best.values.values()))
        spread = f" ± {error:.4f} (standard error of {seeds} seeds)" if seeds > 1 else " (one seed)"
        over = grouping.seed_words(best.values)
        parts = [f"Best of {len(self.ranked)} settings over {over}: **{best.label}**, {self.metric} {mean:.4f}{spread}."]
        if len(self.ranked) > 1 and self.differences[0] is not None:
            parts.append(f"Runner-up {self.ranked[1].label}: {_difference_text(self.differences[0])}.")
        if seeds < 2:
            parts.append("**One seed says nothing about differences between settings: run at least 5 (`--seeds 5`).**")
        elif len(self.ranked) > 1:
            parts.append(
                f"{len(self.equals)} of the {len(self.ranked) - 1} others cannot be told from it (paired t-test, p ≥ "
                f"{LEVEL:g} with Holm's correction)."
            )
            if seeds < FEW_SEEDS:
                parts.append(f"**{seeds} seeds are few: one deviating seed decides.**")
        parts.append(
            "The setting was chosen on the very test images, so the figure is optimistic: on other images expect less."
        )
        if not math.isnan(self.elsewhere):
            luck = "the rest was luck of the seeds" if self.elsewhere != mean else "the seeds agree"
            parts.append(f"Chosen on the other seeds and measured on the one left out: {self.elsewhere:.4f}; {luck}.")
        if self.left_out:
            why = "since they have not all seeds of these"
            parts.append(f"Settings left out, {why}: {self.left_out} (stopped early: {self.stopped}).")
        return " ".join(parts)

    def table(self) -> Table:
        """The best setting, the runner-up and those that cannot be told from it."""
        shown, data = [], []
        rows = zip(self.ranked, [None, *self.differences], [math.nan, *self.p_values], strict=True)
        for rank, (setting, behind, p) in enumerate(rows):
            average, error = mean_and_error(list(setting.values.values()))
            data.append(
                {"section": self.title, "setting": setting.label, "metric": self.metric}
                | {"mean": average, "standard_error": error, "seeds": len(setting.values)}
                | {name: getattr(behind, name, math.nan) for name in ("low", "high", "p")}
                | {"difference": getattr(behind, "mean", math.nan), "p_holm": p, **grouping.numbers(setting.records)}
            )
            if (rank > 1 and p < LEVEL) or len(shown) >= _MOST_ROWS:
                continue
            mean = grouping.mean_text(list(setting.values.values()), setting.records)
            label = f"**{setting.label}**" if rank == 0 else setting.label
            texts = ["—", "—"] if behind is None else [f"{behind.mean:+.4f}", behind.interval]
            shown.append([label, mean, *texts, paired.p_text(p)])
        names = ["setting", self.metric, "best − this", f"{CONFIDENCE:.0%} interval", "p (Holm)"]
        note = self.sentences()
        hidden = len(self.equals) + 1 - len(shown)
        if hidden > 0:
            note += f" {hidden} more that cannot be told from it are not shown."
        return Table(f"Best setting: {self.title}", pandas.DataFrame(shown, columns=names), note, pandas.DataFrame(data))


def findings(records: list[Record], metric: str = "test/accuracy", least: int = SEARCH) -> list[Finding]:
    """The best setting of each pair, data set, scale, dtype and backend where settings were searched.

    Args:
        records: the newest record of each cell.
        metric: what settings are judged by.
        least: so many settings of one method count as a search.
    """
    searches = []
    for title, students in grouping.alike(records, searched=True).items():
        searched = {
            method: grouping.varying(group)
            for method, group in grouping.grouped(students, lambda r: r.cell.get("method")).items()
        }
        for column, group in Labels.of(students).by_column(students).items():
            settings = _settings(group, searched, metric)
            of_method = Counter(setting.records[0].cell.get("method") for setting in settings)
            if max(of_method.values()) >= least and any(setting.values for setting in settings):
                searches.append(_finding(f"{title}, {column}", settings, metric))
    return searches


def tables(records: list[Record], metric: str = "test/accuracy") -> list[Table]:
    """A table for each search in the records."""
    return [finding.table() for finding in findings(records, metric)]


def _settings(records: list[Record], searched: dict[str, list[str]], metric: str) -> list[Setting]:
    """The settings that records were trained with, named by their method and all parameters in which it was searched."""

    def label(record: Record) -> str:
        method, signs = record.cell.get("method"), {"alpha": "α", "beta": "β", "temperature": "T"}
        own = grouping.fields(record)
        parameters = [f"{signs.get(n, n.replace('_', ' '))} {number_word(own.get(n))}" for n in searched[method]]
        return f"{method} {', '.join(parameters)}".strip()

    groups = grouping.grouped(records, label)
    return [Setting(name, grouping.by_seed(group, metric), group) for name, group in groups.items()]


def _finding(title: str, settings: list[Setting], metric: str) -> Finding:
    sign = metrics.find(metric).sign
    seeds = grouping.shared_seeds([set(setting.values) for setting in settings])
    alike = [s for s in settings if seeds <= s.values.keys()]
    alike = [dataclasses.replace(s, values={seed: s.values[seed] for seed in s.values if seed in seeds}) for s in alike]
    ranked = sorted(alike, key=lambda s: -sign * s.mean)
    differences = [difference(ranked[0].values, other.values, sign) for other in ranked[1:]]
    p_values = holm([math.nan if behind is None else behind.p for behind in differences])
    stopped = sum(any(r.status == Status.PRUNED for r in s.records) for s in settings)
    return Finding(title, metric, ranked, differences, p_values, len(settings) - len(ranked), stopped, _elsewhere(ranked, sign))


def _elsewhere(settings: list[Setting], sign: float) -> float:
    """For each seed the figure of the setting that is best on the other seeds; their mean."""
    seeds = sorted(set.intersection(*(set(s.values) for s in settings)))
    if len(seeds) < 2 or len(settings) < 2:
        return math.nan
    chosen = [
        max(settings, key=lambda s, out=seed: sign * math.fsum(s.values[other] for other in seeds if other != out))
        for seed in seeds
    ]
    return math.fsum(setting.values[seed] for setting, seed in zip(chosen, seeds, strict=True)) / len(seeds)


def _difference_text(behind: Difference) -> str:
    text = f"{behind.mean:.4f} behind"
    return text if behind.seeds < 2 else f"{text} ({CONFIDENCE:.0%} interval of the paired difference {behind.interval})"
