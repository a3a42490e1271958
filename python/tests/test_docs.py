"""The manual's page on Python does what it says: its blocks run one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import apportion
from conftest import ROOT

PAGE = ROOT / "docs" / "python.md"


def blocks() -> list[tuple[int, str]]:
    """The blocks of Python, each with the line on which it begins."""
    found: list[tuple[int, str]] = []
    inside = False
    for number, line in enumerate(PAGE.read_text().splitlines(keepends=True), start=2):
        if line.startswith("```"):
            inside = not inside and line.strip() == "```python"
            if inside:
                found.append((number, ""))
        elif inside:
            begun, text = found[-1]
            found[-1] = (begun, text + line)
    return found


def test_every_block_runs_after_those_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(blocks()) > 5
    for line, block in blocks():
        # Blank lines put an error where the page has it.
        exec(compile("\n" * (line - 1) + block, str(PAGE), "exec"), names)
    assert "last_click" in capsys.readouterr().out
    assert (tmp_path / "credits.parquet").exists() and (tmp_path / "models.svg").exists()


def test_everything_public_is_on_the_page() -> None:
    page = PAGE.read_text()
    names = {
        name
        for name in apportion.__all__
        if name not in {"Result", "Table", "Chart", "Explanation", "Difference"}
    }
    names |= {name for name in dir(apportion.Result) if not name.startswith("_") and name != "ALWAYS"} - {
        "table"
    }
    missing = {name for name in names if f"`{name}" not in page and f".{name}(" not in page}
    assert not missing, missing
