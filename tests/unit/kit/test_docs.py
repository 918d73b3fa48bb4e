"""docs/delivery.md names the tests that prove it; here is the proof that they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from libs.common.failpoints import POINTS
from libs.common.worker.actions import Action

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "delivery.md").read_text()
PROOFS = re.findall(r"^- `(tests/[\w/]+\.py)::(test_\w+)`$", PAGE, re.MULTILINE)


def test_every_guarantee_has_a_proof() -> None:
    guarantees = PAGE.split("## Guarantees")[1].split("\n## ")[0].split("\n\n")[1:]
    assert [text[:60] for text in guarantees if "- `tests/" not in text] == []


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_a_proof_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("word", [*Action, *POINTS])
def test_every_action_and_failpoint_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE
