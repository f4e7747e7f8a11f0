"""The page of models says what the models are."""

from pathlib import Path

import pytest

from planner.catalogue import COMMAND, page
from planner.model import model_names

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def text():
    return page()


def test_the_page_in_docs_is_fresh(text):
    fresh = (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == text + "\n"
    assert fresh, f"docs/models.md is not what the models say; run: {COMMAND}"


def test_every_model_is_on_the_page_with_a_source(text):
    for name in model_names():
        assert f"| {name} |" in text
        assert f"- `{name}`: " in text
        assert f"- `{name}`: \n" not in text
