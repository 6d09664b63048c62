"""A student's cell of the suite on few images of CIFAR-100's shape, also as a process that kills itself at a given step.

python cell_worker.py BACKEND STORE KILL_AT
"""

import functools
import io
import os
import signal
import sys
from dataclasses import replace

from suites import datasets, registry, tasks
from suites.cell import Cell
from suites.datasets.images import Split
from suites.distill.recipes import find
from suites.distill.recipes.recipe import Value
from suites.plan import PlannedCell
from suites.running import runner
from suites.suite import Context

IMAGES, EPOCHS, STEPS = 96, 3, 3


def shorten(set_item, set_attribute):
    """Recipes of three epochs of three batches, by functions that patch."""
    full = find.RECIPES["cifar100"]
    short = {"small": dict(full.students["small"]) | {"epochs": Value(EPOCHS), "batch_size": Value(IMAGES // STEPS)}}
    set_item(find.RECIPES, "cifar100", replace(full, students=short, teachers=short))
    whole = datasets.load("cifar100", "smoke")

    def first(split):
        return Split(split.images[:IMAGES], split.labels[:IMAGES])

    few = replace(whole, corruptions=False, train=first(whole.train), test=first(whole.test))
    set_attribute(datasets, "load", lambda name, scale="smoke", seed=None: few)
    set_attribute(datasets, "digest", lambda name, scale, seed=None: few.digest)
    set_attribute(datasets, "check_presence", lambda name, scale: None)


class KillingBatches:
    """Batches that count how many are asked for, and kill the process at the one with number `kill_at`."""

    def __init__(self, batches, kill_at=None):
        self.batches, self.kill_at, self.asked = batches, kill_at, 0

    def __len__(self):
        return len(self.batches)

    def epoch(self, epoch, start=0):
        for step, batch in enumerate(self.batches.epoch(epoch, start), start):
            if epoch * STEPS + step == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.asked += 1
            yield batch

    def __iter__(self):
        raise AssertionError("a training that can ask for an epoch must do so")


def counted(set_item, kill_at=None):
    """Let trainings take `KillingBatches`; the list of those that were made."""
    sources = tasks.TASKS["classification"].batches
    made, make = [], sources["fixed"]

    @functools.wraps(make)
    def wrapped(*arguments, **named):
        made.append(KillingBatches(make(*arguments, **named), kill_at))
        return made[-1]

    set_item(sources, "fixed", wrapped)
    return made


def context_of(harness, store):
    return Context(harness.NAME, harness, store, "cpu", description=harness.describe())


def student_cell(harness):
    return Cell(
        "distill",
        backend=harness.NAME,
        pair="convnet-4:convnet-4",
        dataset="cifar100",
        method="abkd",
        scale="small",
        seed=0,
        options=(("alpha", 0.8), ("beta", 0.3), ("distill_weight", 4.0), ("hard_weight", 1.0), ("temperature", 4.0)),
    )


def run(cell, context):
    """The cell's record, as a command would write it."""
    suite = registry.SUITES["distill"]
    planned = PlannedCell(suite, cell, suite.decided(cell, context), "", "run")
    return runner.run_plan([planned], context, runner.SideBySide(registry.measure), io.StringIO()).records[0]


if __name__ == "__main__":
    import backends
    from results.records.store import Store

    name, place, kill_at = sys.argv[1:]
    chosen = backends.load(name)
    chosen.set_up(threads=1, device="cpu")
    shorten(dict.__setitem__, setattr)
    counted(dict.__setitem__, int(kill_at))
    run(student_cell(chosen), context_of(chosen, Store(place)))
