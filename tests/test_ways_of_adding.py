"""What is added to a model or given in place of a prompt: adapters, learned tokens, embeddings.

See `ways` for what a proof is.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from models_page import stands_in_the_page
from ways_tried import ADDED, Way

pytestmark = pytest.mark.filterwarnings("ignore")


CELLS = [pytest.param(way, family, id=f"{way.name}, {family}") for way in ADDED for family in way.families]


@pytest.mark.parametrize(("way", "family"), CELLS)
def test_the_way_is_proved_or_refused(way: Way, family: str, tmp_path: Path) -> None:
    found = way.proof(family, tmp_path) or "tested"
    assert stands_in_the_page(way, family, found), "run python tests/models_page.py"
