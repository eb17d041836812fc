"""Causes at the running model: what is drawn is what is said, and effects are differences to an unedited picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffuscope.analysis.cause.faithfulness import map_order
from diffuscope.analysis.cause.windows import kept as kept_windows
from diffuscope.analysis.comparing import delta_e, sf_iou
from diffuscope.edits import PatchChoice, Reprompt, Scale, Silence
from diffuscope.engine import Lens
from diffuscope.engine.cause.faithfulness import without
from diffuscope.errors import InputError, NotKeptError, UnknownWordError
from diffuscope.figures.cause_heads import head_effects
from diffuscope.figures.cause_windows import window_chart
from diffuscope.figures.report import report_data
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PROMPT = "a cat by a tree"
DRAWN: dict[str, Any] = {"steps": 3, "guidance_scale": 3.0, "width": 32, "height": 32}


@pytest.fixture(scope="module")
def lens() -> Lens:
    return Lens(random_pipeline("sd15"))


@pytest.fixture(scope="module")
def run(lens: Lens, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = lens.record(PROMPT, seed=5, out=tmp_path_factory.mktemp("runs"), previews=False, **DRAWN)
    assert isinstance(made, Run)
    return made


def edited_alone(lens: Lens, run: Run, out: Path, *edits: Any) -> np.ndarray[Any, Any]:
    """Change of the picture `[y, x]`, by the way that knows nothing of batches."""
    return delta_e(run.image, lens.edit(run, *edits, out=out).image)


def test_faithfulness_is_what_the_edits_do_one_by_one(lens: Lens, run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotKeptError, match=r"lens\.faithfulness"):
        run.faithfulness("cat")
    found = lens.faithfulness(run, "cat", shares=(0.5,), orders=2, seed=4)
    shown = run.word("cat").map().array.astype(float)
    silenced = edited_alone(lens, run, tmp_path, Silence("cat"))
    # A batch rounds differently from a run by itself: a grey level here and there.
    assert found.silence.change == pytest.approx(silenced.mean(), abs=0.05)
    assert found.silence.iou == pytest.approx(sf_iou(shown, silenced)[0], abs=0.1)
    reworded = edited_alone(lens, run, tmp_path, Reprompt("a by a tree"))
    assert found.reprompt.change == pytest.approx(reworded.mean(), abs=0.05)
    half = np.zeros(shown.size, bool)
    half[map_order(shown)[: shown.size // 2]] = True
    patches = PatchChoice.mask(half.reshape(shown.shape), grid=list(shown.shape))
    part = edited_alone(lens, run, tmp_path, Silence("cat", patches=patches))
    assert found.curve.ordered == pytest.approx((0, part.mean(), silenced.mean()), abs=0.05)
    assert found.silence.random_word != "cat" and len(found.curve.random) == 2
    assert run.faithfulness("cat") == Run.open(run.path).faithfulness("CAT") == found


def test_the_report_shows_the_test_beside_the_map(lens: Lens, run: Run) -> None:
    lens.faithfulness(run, "tree", shares=(0.5,), orders=1)
    words = {word["label"]: word["test"] for word in report_data(Run.open(run.path))["words"]}
    assert words["tree"]["verdict"] == run.faithfulness("tree").verdict
    assert "chance" in words["tree"]["said"] and words["by"] is None


def test_faithfulness_refuses_what_it_cannot_test(lens: Lens, run: Run) -> None:
    with pytest.raises(UnknownWordError):
        lens.faithfulness(run, "dog")
    with pytest.raises(InputError, match="no word of the prompt"):
        lens.faithfulness(run, "<start>")
    with pytest.raises(InputError, match="orders=0"):
        lens.faithfulness(run, "cat", orders=0)


def test_words_are_left_out_of_a_prompt(run: Run) -> None:
    cat, tree = (next(word for word in run.words if word.label == label) for label in ("cat", "tree"))
    assert without(run, [cat]) == "a by a tree" and without(run, [tree, cat]) == "a by a"


def test_heads_are_ranked_by_what_taking_each_out_does(lens: Lens, run: Run, tmp_path: Path) -> None:
    box = "box:0,0,15,31"
    found = lens.heads(run, region=box, sites="cross:mid", seeds=[5, 6], per_round=2, stop=False)
    heads = next(site.heads for site in run.sites if site.name == "cross:mid")
    assert len(found.heads) == heads and found.seeds == (5, 6) and found.drawn == found.full == 2 * heads
    other = lens.record(PROMPT, seed=6, out=tmp_path, previews=False, **DRAWN)
    for each in found.heads:
        changes = [
            edited_alone(lens, one, tmp_path, Scale(0, sites=each.site, heads=str(each.head)))
            for one in (run, other)
        ]
        assert each.effect == pytest.approx(np.mean([change[:, :16].mean() for change in changes]), abs=0.05)
        assert each.outside == pytest.approx(np.mean([change[:, 16:].mean() for change in changes]), abs=0.05)
    assert [each.effect for each in found.heads] == sorted(
        (each.effect for each in found.heads), reverse=True
    )
    lines = found.save_csv(tmp_path / "heads.csv").read_text().splitlines()
    assert lines[0].startswith("rank,site,head,effect") and len(lines) == heads + 1
    assert head_effects(found).width > 200


def test_a_word_that_no_judge_knows_is_sought_where_silencing_acts(lens: Lens, run: Run) -> None:
    found = lens.heads(run, "cat", sites="cross:mid", seeds=[5], top=1)
    assert found.region == "change" and found.target == "cat" and all(each.seeds == 1 for each in found.heads)
    assert not found.settled  # one seed settles nothing
    with pytest.raises(InputError, match="one of the two"):
        lens.heads(run, "cat", region="box:0,0,3,3")
    with pytest.raises(InputError, match="say one thing"):
        lens.heads(run, "cat", object="cat")


def test_windows_of_an_edit(lens: Lens, run: Run, tmp_path: Path) -> None:
    found = lens.windows(run, "cat", parts=3, seeds=[5])
    assert found.cuts == (0, 1, 2, 3) and len(found.effects[0]) == 6 and found.word == "cat"
    for (start, stop), effect in zip(found.windows, found.effects[0], strict=True):
        alone = edited_alone(lens, run, tmp_path, Silence("cat", steps=f"{start}:{stop}"))
        assert effect == pytest.approx(alone.mean(), abs=0.05)
    assert kept_windows(run.recording, "cat") == found
    assert window_chart(found, mass=list(run.word("cat").mass())).width > 300
    with pytest.raises(InputError, match="parts=9"):
        lens.windows(run, "cat", parts=9, seeds=[5])


def test_patching_everything_carries_most(lens: Lens) -> None:
    found = lens.patching(PROMPT, "a dog by a house", sites="cross:*", seeds=1, parts=1, **DRAWN)
    assert found.columns == ("0:3",) and len(found.rows) == len(found.carried) == len(found.control)
    assert found.whole >= max(row[0] for row in found.carried) - 0.05
    assert found.ranked()[0][0] == max(row[0] for row in found.carried)
    with pytest.raises(InputError, match="are one"):
        lens.patching(PROMPT, f" {PROMPT} ", seeds=1)


def test_a_prompt_is_drawn_for_its_seeds_and_leaves_nothing(lens: Lens, run: Run) -> None:
    found = lens.windows(PROMPT, Scale(0, sites="cross:mid"), parts=2, seeds=2, **DRAWN)
    assert found.seeds == (0, 1) and found.word is None
    with pytest.raises(InputError, match="none twice"):
        lens.windows(PROMPT, "cat", seeds=[1, 1], **DRAWN)
    with pytest.raises(InputError, match="leave out steps"):
        lens.windows(run, "cat", seeds=[5], steps=4)
