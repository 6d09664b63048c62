"""Rows of a user's own for the tables: `--plugin FILE.py`, or `ABKD_PLUGINS` with several files.

Such a file has a function `register(add)`, whose argument takes the rows: `add.dataset`, `add.recipes`, `add.model`,
`add.method`, `add.metric`, `add.task`. docs/plugin_example.py is one. What it computes is in the keys of the cells that use it.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from backends.common import methods, networks
from backends.common.methods import Method
from backends.common.networks import Family
from results.metrics import METRICS, Metric
from suites import datasets, tasks
from suites.datasets.dataset import Dataset
from suites.distill.recipes import find
from suites.distill.recipes.recipe import DatasetRecipes
from suites.tasks.task import Task

VARIABLE = "ABKD_PLUGINS"
FUNCTION = "register"


class PluginError(ValueError):
    """A plugin cannot be used; the message names the file, what is wrong with it, and what is allowed."""


@dataclass
class Plugin:
    """A file of the user's that has added rows.

    Attributes:
        path: of the file.
        names: of its rows, whatever their table.
        families: families of networks by name, with the module of their builders by backend.
        files: itself and the modules beside it that it has imported.
    """

    path: Path
    names: set[str] = field(default_factory=set)
    builders: dict[str, Mapping[str, Callable[[], Any]]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


# those of this process, in the order in which they were loaded
_loaded: dict[Path, Plugin] = {}


class Adder:
    """What a plugin's `register` is given: one function for each table.

    Args:
        plugin: whose rows are added.
    """

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def _put(self, table: dict[str, Any], name: str, row: Any, kind: str) -> None:
        if name in table:
            raise PluginError(
                f"plugin {self._plugin.path}: the {kind} {name!r} is there already; choose another name than {', '.join(table)}"
            )
        table[name] = row
        self._plugin.names.add(name)

    def dataset(self, row: Dataset) -> None:
        """Add a data set; its task is one of `suites.tasks.TASKS`, or added before."""
        if row.task not in tasks.TASKS:
            raise PluginError(
                f"plugin {self._plugin.path}: the data set {row.name!r} is of the task {row.task!r}, which is not known; "
                f"choose one of {', '.join(tasks.TASKS)}, or add it before"
            )
        self._put(datasets.TABLE, row.name, row, "data set")

    def recipes(self, dataset: str, recipes: DatasetRecipes) -> None:
        """Add the recipes of a data set; with them it takes part in distillation."""
        if dataset not in datasets.TABLE:
            raise PluginError(
                f"plugin {self._plugin.path}: recipes are for {dataset!r}, which is no data set; add it before, or choose one "
                f"of {', '.join(datasets.TABLE)}"
            )
        self._put(find.RECIPES, dataset, recipes, "recipe of the data set")

    def model(self, name: str, family: Family, builders: Mapping[str, Callable[[], Any]]) -> None:
        """Add a family of networks.

        Args:
            name: of the family, as its specifications have it.
            family: how names are read, and which parameters a network has.
            builders: by backend, a function without arguments that imports the framework and returns the builder (what a
                backend's `models.BUILDERS` holds); only that of the backend at hand is called.
        """
        self._put(networks.FAMILIES, name, family, "family of networks")
        self._plugin.builders[name] = builders

    def method(self, row: Method) -> None:
        """Add a method over a function that the backends have."""
        self._put(methods.METHODS, row.name, row, "method")

    def metric(self, name: str, row: Metric) -> None:
        """Add what is known of a metric."""
        self._put(METRICS, name, row, "metric")

    def task(self, row: Task) -> None:
        """Add a task."""
        self._put(tasks.TASKS, row.name, row, "task")


def chosen(paths: Iterable[str]) -> tuple[Path, ...]:
    """The files of the command line and of `ABKD_PLUGINS`, each once, with whole paths."""
    named = [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), *paths]
    return tuple(dict.fromkeys(Path(path).expanduser().absolute() for path in named))


def load(paths: Iterable[Path]) -> None:
    """Import plugins and let them add their rows; one that is loaded already is left as it is.

    Raises:
        PluginError: a file cannot be imported, has no `register`, or adds a row whose name is taken.
    """
    for path in paths:
        if path not in _loaded:
            plugin = Plugin(path)
            before = set(sys.modules)
            module = _imported(path)
            try:
                getattr(module, FUNCTION)(Adder(plugin))
            except PluginError:
                raise
            except Exception as error:  # whatever the user's code raises is one sentence
                raise PluginError(f"plugin {path}: {FUNCTION} fails with {type(error).__name__}: {_line(error)}") from error
            plugin.files = (path, *_beside(path, before))
            _loaded[path] = plugin


def _imported(path: Path) -> ModuleType:
    name = f"abkd_plugin_{path.stem}_{len(_loaded)}"
    try:
        is_there = path.suffix == ".py" and path.is_file()
    except OSError:  # such as a name that is too long
        is_there = False
    if not is_there:
        raise PluginError(f"plugin {path} is not there; name a Python file (.py) with a function {FUNCTION}(add)")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))  # modules beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # as in `load`
        raise PluginError(f"plugin {path} cannot be imported: {type(error).__name__}: {_line(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not callable(getattr(module, FUNCTION, None)):
        raise PluginError(f"plugin {path} has no function {FUNCTION}(add), which adds its rows")
    return module


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _beside(path: Path, before: set[str]) -> list[Path]:
    """Files in the plugin's folder that importing it has imported."""
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name not in before]
    return sorted({Path(file) for file in files if file and Path(file).parent.is_relative_to(path.parent)} - {path})


def build_for(backend: str) -> None:
    """Hand the plugins' builders of networks to a backend, which is imported already.

    Raises:
        PluginError: a family has no builder for it, or it cannot be made.
    """
    for plugin in _loaded.values():
        for family, builders in plugin.builders.items():
            if backend not in builders:
                raise PluginError(
                    f"plugin {plugin.path}: the family of networks {family!r} has no builder for the backend {backend!r}; "
                    f"it has one for {', '.join(builders) or 'none'}"
                )
            try:
                import_module(f"backends.{backend}.models").BUILDERS[family] = builders[backend]()
            except Exception as error:  # as in `load`
                raise PluginError(
                    f"plugin {plugin.path}: the builder of {family!r} for {backend!r} cannot be made: "
                    f"{type(error).__name__}: {_line(error)}"
                ) from error


def files_of(names: Iterable[str]) -> list[str]:
    """Files of the plugins that have added rows of these names, for keys."""
    names = set(names)
    return [str(file) for plugin in _loaded.values() if names & plugin.names for file in plugin.files]


def loaded() -> tuple[Path, ...]:
    """The files of this process' plugins, for other processes to load."""
    return tuple(_loaded)
