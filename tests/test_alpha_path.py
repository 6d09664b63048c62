"""How far the value of α travels before the backend: few files hold it between the command line and `harness.train`."""

import fake_harness
from alpha_trace import ROOT, Trace

import backends
from suites import __main__ as command
from suites.distill import cells

ALPHA = 0.7315


def test_the_value_of_alpha_enters_at_most_eight_files_before_the_backend(monkeypatch, tmp_path):
    # The cell of one student is planned and run. A file counts where α itself is an argument or a local of one of its
    # functions, lies in plain containers there, or is a field of a dataclass there. Objects that are handed on whole and
    # have it deeper inside (a selection, a cell, a training) do not count: whoever hands them on does not look at α.
    trace = Trace(ALPHA, ROOT, fields=1, direct=True)
    train, asked = fake_harness.train, []

    def without_trace(*networks, **numbers):
        trace.stop()
        asked.append(numbers.get("alpha"))
        result = train(*networks, **numbers)
        if numbers.get("alpha") is None:  # the teacher's training
            trace.start()
        return result

    monkeypatch.setattr(backends, "load", lambda name: fake_harness)
    monkeypatch.setattr(fake_harness, "train", without_trace)
    monkeypatch.setattr(cells, "_traces", lambda *_: [])
    typed = ["distill", "--backend", "torch", "--method", "abkd", "--alpha", str(ALPHA), "--seeds", "1", "--no-mlflow"]
    trace.start()
    try:
        status = command.main([*typed, "--store", str(tmp_path)])
    finally:
        trace.stop()
    assert status == 0 and asked == [None, ALPHA]
    files = [file for file in trace.files if not file.startswith("tests/")]
    assert "suites/distill/cells.py" in files
    assert len(files) <= 8, files
