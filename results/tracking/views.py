"""What the run tables of the MLflow UI show at first: a shared view for each suite, kept as a tag of its experiment.

Without it the table shows neither metrics nor parameters until the user picks its columns.
"""

import json

from results import metrics

NAME = "abkd"
TAG = f"mlflow.sharedViewState.{NAME}"

_PARAMS = {
    "agreement": ("backend", "divergence", "alpha", "beta", "dtype", "classes", "spread"),
    "loss": ("backend", "implementation", "alpha", "beta", "rows", "classes", "dtype"),
    "distill": ("backend", "method", "alpha", "beta", "seed"),
    "throughput": ("backend", "pair", "method", "scale"),
}


def experiment_tags(suite: str) -> dict[str, str]:
    """Tags of a suite's experiment that make the UI show its runs as runs of trained models, with their figures."""
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
    }
    return tags | {TAG: json.dumps(view)}


def url(server: str, experiment_id: str) -> str:
    """Address of an experiment's run table in that view."""
    return f"{server}/#/experiments/{experiment_id}/runs?viewStateShareKey={NAME}&workflowType=machine_learning"
