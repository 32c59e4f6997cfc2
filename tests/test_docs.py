"""The guides' examples give what the guides say."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", [path.name for path in sorted(DOCS.glob("*.md")) if ">>> " in path.read_text("utf-8")])
def test_its_examples_are_true(name: str) -> None:
    result = doctest.testfile(str(DOCS / name), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0
