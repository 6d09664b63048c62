"""What the run tables of the MLflow UI show at first: a shared view for each suite, kept as a tag of its experiment.

Without it the table shows neither metrics nor parameters until the user picks its columns.
"""

import json
from collections.abc import Mapping, Sequence

from results import metrics

NAME = "abkd"
TAG = f"mlflow.sharedViewState.{NAME}"

# commands whose cells the table shows at once; of the others it shows the best figures
_UNFOLDED = 3

_PARAMS = {
    "agreement": ("backend", "divergence", "alpha", "beta", "dtype", "classes", "spread"),
    "loss": ("backend", "implementation", "alpha", "beta", "rows", "classes", "dtype"),
    "distill": ("backend", "method", "alpha", "beta", "seed"),
    "throughput": ("backend", "pair", "method", "scale"),
}


def experiment_tags(suite: str, parents: Sequence[str] = ()) -> dict[str, str]:
    """Tags of a suite's experiment that make the UI show its runs as runs of trained models, with their figures.

    Args:
        suite: its name.
        parents: ids of runs of whole commands, the newest first, some of which are shown with their cells.
    """
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if suite not in _PARAMS:
        return tags
    columns = [f"params.`{name}`" for name in _PARAMS[suite]] + [f"metrics.`{name}`" for name in metrics.columns(suite)]
    view = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "runsExpanded": dict.fromkeys(list(dict.fromkeys(parents))[:_UNFOLDED], True),
    }
    return tags | {TAG: json.dumps(view)}


def unfolded(tags: Mapping[str, str]) -> list[str]:
    """The runs that an experiment's tags show with their cells."""
    try:
        return list(json.loads(tags[TAG])["runsExpanded"])
    except (KeyError, ValueError, TypeError):
        return []


def url(server: str, experiment_id: str) -> str:
    """Address of an experiment's run table in that view."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={NAME}&workflowType=machine_learning"
