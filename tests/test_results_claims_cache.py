"""Findings of the claims are kept, and only as long as what they depend on stays the same."""

import pytest

from reference import claims
from reference.claims.claim import Finding
from results.report import claims_cache

FOUND = [Finding("holds", 1e-300, "a figure"), Finding("fails", float("inf"), "another", "a remark")]


@pytest.fixture
def checks(monkeypatch):
    """How often claims were checked."""
    counted = []

    def check_all():
        counted.append(1)
        return [(None, finding) for finding in FOUND]

    monkeypatch.setattr(claims, "check_all", check_all)
    return counted


def test_the_second_time_nothing_is_checked_and_the_same_is_found(tmp_path, checks):
    assert claims_cache.findings(tmp_path) == claims_cache.findings(tmp_path) == FOUND and len(checks) == 1


def test_other_code_is_checked_again(tmp_path, checks, monkeypatch):
    claims_cache.findings(tmp_path / "cache")
    monkeypatch.setattr(claims_cache, "_REFERENCE", tmp_path)
    (tmp_path / "changed.py").write_text("x = 1")
    claims_cache.findings(tmp_path / "cache")
    (tmp_path / "changed.py").write_text("x = 2")
    claims_cache.findings(tmp_path / "cache")
    assert len(checks) == 3


@pytest.mark.parametrize("content", ["", "[{]", '[{"verdict": "holds"}]', "[3]", '{"a": 1}'])
def test_a_torn_or_foreign_file_is_replaced(tmp_path, checks, content):
    claims_cache.findings(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert claims_cache.findings(tmp_path) == FOUND and claims_cache.findings(tmp_path) == FOUND and len(checks) == 2


def test_without_a_place_for_it_claims_are_checked_each_time(tmp_path, checks):
    (tmp_path / "file").touch()
    assert claims_cache.findings(tmp_path / "file") == claims_cache.findings(tmp_path / "file") == FOUND
    assert len(checks) == 2
