"""What a person sees in headless Chromium: the MLflow UI from run table to compare page to figure, and the report.

Needs the package playwright (group `browser`) and a Chromium of the system, which ABKD_CHROMIUM may name.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from urllib.parse import quote

import pytest
from mlflow_server import free_port
from results_examples import agreement, distill, loss, trace

from results import Store
from results.__main__ import main
from results.tracking import send

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (`nox -s tests-browser`)")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = os.environ.get("ABKD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")

BACKENDS = {"torch": 0.971, "jax": 0.972, "tensorflow": 0.973}
DATA = {"digest": "5e09f53628755eb9b2c84b6280467de4", "source": "scikit-learn load_digits"}
SYSTEM = {"seconds": [0.5, 1.5, 2.5], "system/cpu_utilization_percentage": [51.0, 62.0, 73.0]}


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The address that `python -m results ui` prints for the students of three backends."""
    store = Store(tmp_path_factory.mktemp("ui") / "store")
    for backend, accuracy in BACKENDS.items():
        details = {"data": DATA, "system": SYSTEM}
        store.write(distill("abkd", 0, backend, accuracy, invocation=backend, details=details))
        store.write(distill("kd", 0, backend, 0.9, invocation=backend))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert send.sync(store).problem == ""
        command = [sys.executable, "-m", "results", "ui", "--store", str(store.path), "--port", str(free_port())]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        with open(store.path / "log", "w") as log:
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        base = re.search(r"http://[\d.:]+", process.stdout.readline())[0]
        yield base, re.search(r"abkd-distill: (\S+)", process.stdout.readline())[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def page():
    with playwright.sync_playwright() as running:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = running.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.set_default_timeout(20_000)
        yield page
        browser.close()


def rows_of(page, name):
    """The texts of a row of the run table, in its pinned and its scrolling part."""
    index = page.locator(".ag-row", has_text=name).first.get_attribute("row-index")
    return " ".join(page.locator(f'.ag-row[row-index="{index}"]').all_inner_texts())


@pytest.fixture(scope="module")
def runs(ui):
    """The runs of the ABKD student, by backend."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(ui[0])
    experiment = client.get_experiment_by_name("abkd-distill").experiment_id
    found = client.search_runs([experiment], "params.method = 'abkd'")
    return {run.data.params["backend"]: run.info for run in found}


def test_the_run_table_shows_a_run_for_each_command_and_opens_to_the_cells_with_their_figures(ui, page):
    page.goto(ui[1], wait_until="domcontentloaded")
    for column in ("test/accuracy", "test/nll", "backend", "method"):
        page.get_by_test_id(f"sort-header-{column}").wait_for(state="attached")
    for backend in BACKENDS:
        page.get_by_text(re.compile(f"best abkd .*distill {backend} ")).first.wait_for()
    row = page.locator(".ag-row", has_text=re.compile("best abkd .*distill jax")).first
    row.locator('[col-id*="Run Name"] button').first.click()
    page.get_by_text(re.compile("abkd α0.8 β0.2 T4 seed 0.*jax")).first.wait_for()
    assert "0.972" in rows_of(page, "abkd α0.8 β0.2") and "0.9" in rows_of(page, "kd T4 seed 0")


def test_the_compare_page_lines_up_one_cell_of_three_backends(ui, page, runs):
    ids, experiments = json.dumps([info.run_id for info in runs.values()]), json.dumps([runs["jax"].experiment_id])
    page.goto(f"{ui[0]}/#/compare-runs?runs={quote(ids)}&experiments={quote(experiments)}", wait_until="domcontentloaded")
    page.get_by_text("Comparing 3 Runs from 1 Experiment").first.wait_for()
    page.get_by_role("row", name=re.compile("backend")).first.wait_for()
    rows = {row.split("\t")[0].strip(): row.split("\t")[1:] for row in page.get_by_role("row").all_inner_texts()}
    assert [text.strip() for text in rows["backend"]] == list(runs)
    assert [text.strip() for text in rows["alpha"]] == ["0.8"] * 3 and [t.strip() for t in rows["seed"]] == ["0"] * 3
    for accuracy in BACKENDS.values():
        page.get_by_text(str(accuracy), exact=True).first.wait_for()


def test_a_figure_is_seen(ui, page, runs):
    info = runs["torch"]
    page.goto(
        f"{ui[0]}/#/experiments/{info.experiment_id}/runs/{info.run_id}/artifacts/figures/learning_curves.png",
        wait_until="domcontentloaded",
    )
    page.get_by_text("figures/learning_curves.png").first.wait_for()
    with contextlib.suppress(playwright.TimeoutError):  # the assertion below says what is there instead
        page.wait_for_function("[...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth > 500)")
    sizes = page.evaluate("[...document.images].map(i => [i.src.slice(0, 5), i.naturalWidth, i.clientWidth])")
    assert [size for size in sizes if size[0] == "blob:" and size[1] > 500 and size[2] > 100], sizes


def test_the_load_of_the_machine_and_the_data_set_are_seen(ui, page, runs):
    info = runs["torch"]
    address = f"{ui[0]}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    page.goto(f"{address}/system-metrics", wait_until="domcontentloaded")
    page.get_by_text("cpu_utilization_percentage").first.wait_for()
    page.goto(address, wait_until="domcontentloaded")
    page.get_by_text(re.compile(r"digits.*5e09f536|5e09f536")).first.wait_for()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The address of a report with every section, wide tables and long names."""
    store = Store(tmp_path_factory.mktemp("report") / "store")
    for backend in BACKENDS:
        for seed in range(3):
            store.write(distill("abkd", seed, backend, 0.95 + seed / 100))
            store.write(distill("kd", seed, backend, 0.94, environment={"variable.XLA_FLAGS": "--xla_flag=true " * 9}))
        store.write(agreement("float64", backend, details={"worst": [{"excess": 0.2}]}))
        store.write(trace(backend))
    for implementation in ("ours", "framework_kl"):
        store.write(loss(implementation))
    assert main(["report", "--store", str(store.path)]) == 0
    return (store.path / "report" / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(390, 844), (1280, 900)])
def test_the_report_fits_the_screen_and_asks_the_network_for_nothing(page, report, size, scheme):
    viewport = {"width": size[0], "height": size[1]}
    context = page.context.browser.new_context(viewport=viewport, color_scheme=scheme)
    opened = context.new_page()
    asked = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report)
    opened.evaluate("document.querySelectorAll('details').forEach(entry => entry.open = true)")
    for name in ("Agreement", "Speed", "Distillation", "Claims", "Environment"):
        opened.get_by_role("navigation").get_by_role("link", name=name).click()
        heading = opened.get_by_role("heading", name=name, exact=True)
        assert -1 <= heading.bounding_box()["y"] < size[1]
    width = opened.evaluate("document.documentElement.scrollWidth")
    beyond = opened.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 "
        "&& !e.closest('.wide')).map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"
    )
    assert width == size[0] and beyond == []
    images = opened.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(images) > 5 and min(images) > 300
    assert [url for url in asked if not url.startswith("data:")][1:] == [], asked  # but the page itself
    letters = opened.evaluate("getComputedStyle(document.body).color")
    assert letters == ("rgb(255, 255, 255)" if scheme == "dark" else "rgb(0, 0, 0)")
    context.close()
