"""PixArt: cross-attention of patches to T5's tokens, padding masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ways import PROMPT, proved, size, tiny

from diffuscope.engine import Lens
from diffuscope.maps.attention import probabilities

pytestmark = pytest.mark.filterwarnings("ignore")


def test_padding_is_masked_and_the_mask_is_recorded(tmp_path: Path) -> None:
    (run,) = proved(tiny("pixart"), tmp_path, prompt=PROMPT, **size("pixart"))
    kinds = [token.kind for token in run.tokens]
    text = len(kinds) - kinds.count("padding")
    assert kinds[:text] == ["content"] * (text - 1) + ["end"] and len(kinds) == 24
    for site in run.sites:
        assert site.mask == ("additive" if site.kind == "cross" else "none")
        if site.kind == "cross":
            query, keys = run.recording.query(site.name, 0), run.recording.keys(site.name, 0)
            found = probabilities(query, keys, site.scale, run.recording.mask(site.name, 0))
            assert not found[:, :, text:].any()
            # Without the mask it would be another map.
            free = probabilities(query, keys, site.scale)
            assert np.abs(found - free).max() > 1e-2


def test_grids_are_those_of_the_patches(tmp_path: Path) -> None:
    (run,) = proved(tiny("pixart"), tmp_path, prompt=PROMPT, **size("pixart", 16, 48))
    assert {tuple(site.grid) for site in run.sites} == {(4, 12)}
    assert [site.name for site in run.sites] == ["self:0", "cross:0", "self:1", "cross:1"]


def test_words_are_read_as_the_pipeline_reads_them(tmp_path: Path) -> None:
    """In lower case, by sentence pieces."""
    pipe = tiny("pixart")
    run = Lens(pipe).record(
        "A Cattle dog",
        steps=2,
        use_resolution_binning=False,
        clean_caption=False,
        width=16,
        height=16,
        out=tmp_path,
    )
    assert [word.label for word in run.words] == ["a", "cattle", "dog"]
    assert [word.text for word in run.words] == ["A", "Cattle", "dog"]
    spelled = ["".join(run.tokens[at].text for at in word.tokens) for word in run.words]
    assert spelled == ["a", "cattle", "dog"]
    ids = pipe.tokenizer("a cattle dog").input_ids
    assert [token.id for token in run.tokens[: len(ids)]] == ids


def test_a_picture_that_is_brought_to_size_afterwards_is_told(tmp_path: Path) -> None:
    """The pipeline draws at the nearest of its sizes, then scales and cuts: maps are of what it drew."""
    lens = Lens(tiny("pixart"))
    run = lens.record(
        PROMPT, steps=2, clean_caption=False, width=32, height=16, keep="maps", previews=False, out=tmp_path
    )
    assert run.image.size == (32, 16)
    assert any("brings the picture to 16x32" in line for line in lens.warnings)
