"""Objects of a run against an explicit computation, from maps to masks; what is odd about a run is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.annotation import with_planes
from diffuscope.analysis.objects.chain import Chain
from diffuscope.errors import InputError, NotKeptError
from diffuscope.maps.resize import resize

PLAIN = Chain(threshold=0.5, specks=0.0, merge=0.0, instances="parts", overlap="keep")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ds.Run:
    return ds.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=4))


def test_masks_boxes_areas_and_scores_are_those_of_the_maps(run: ds.Run) -> None:
    found = run.objects(PLAIN)
    height, width = run.manifest.sampling.height, run.manifest.sampling.width
    seen = 0
    for index, words in enumerate([["red", "circle"], ["blue", "zeppelin"], ["circle#2"]]):
        values = resize(run.phrase(words).map().array, (height, width), "bilinear")
        plane = (values - values.min()) / (values.max() - values.min())
        labels, number = ndimage.label(plane > 0.5, structure=np.ones((3, 3)))
        own = [each for each in found if each.phrase == index] if index != 0 and index != 2 else None
        if own is None:  # both circles are one category: their parts are shared among the two phrases
            continue
        assert len(own) == number
        for each in own:
            part = labels == labels[each.mask][0]
            assert (each.mask == part).all() and each.area == part.sum()
            rows, columns = np.nonzero(part)
            box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert each.box == tuple(map(int, box))
            assert each.score == pytest.approx(values[part].mean(), rel=1e-6)
            assert each.words == tuple(words) and each.attributes == ("blue",)
            seen += 1
    assert seen


def test_a_repeated_noun_has_an_instance_for_each_of_its_phrases(run: ds.Run) -> None:
    found = run.objects("default")
    circles = [each for each in found if each.category == "circle"]
    assert [each.phrase for each in circles] == [0, 2] and [each.words for each in circles] == [
        ("red", "circle"),
        ("circle#2",),
    ]
    for each in circles:
        inside = run.phrase(list(each.words)).map(size=each.mask.shape[0]).array
        assert inside[each.mask].mean() > 2 * inside[~each.mask].mean()


def test_the_selection_of_an_object_makes_its_map_again(run: ds.Run) -> None:
    for each in run.objects(steps="late", sites="finest"):
        again = run.map(each.selection)
        values = resize(again.array, each.mask.shape)
        assert each.score == pytest.approx(values[each.mask].mean(), rel=1e-6)
        assert "steps=" in each.selection and "sites=" in each.selection


def test_objects_do_not_overlap_unless_asked_to(run: ds.Run) -> None:
    for overlap in ("argmax", "smaller"):
        masks = [each.mask for each in run.objects("default", overlap=overlap, threshold=0.05)]
        assert np.sum(masks, axis=0).max() == 1
    kept = [each.mask for each in run.objects("default", overlap="keep", threshold=0.05)]
    assert np.sum(kept, axis=0).max() > 1


@pytest.mark.parametrize(
    "options", [{"map": "word"}, {"refine": "edges"}, {"blur": 0.02}, {"threshold": "adaptive"}]
)
def test_every_stage_changes_something(run: ds.Run, options: dict) -> None:
    plain = with_planes(run, Chain(overlap="keep"))[0]
    other = with_planes(run, Chain.of("default", overlap="keep", **options))[0]
    one, two = ({each.phrase: each.mask for each in found} for found in (plain, other))
    assert any(not np.array_equal(one[at], two[at]) for at in one.keys() & two.keys())


def test_titans_chain_is_on_daams_map_of_the_noun(run: ds.Run) -> None:
    found = run.objects("titan")
    assert found.chain.map == "daam" and {each.words for each in found} >= {("zeppelin",)}
    values = resize(run.word("zeppelin").daam().array, found[0].mask.shape) / len(run.steps)
    own = [each for each in found if each.words == ("zeppelin",)]
    assert own[0].score == pytest.approx(values[own[0].mask].mean(), rel=1e-6)


def test_the_guided_chain_needs_self_attention(run: ds.Run, tmp_path: Path) -> None:
    with pytest.raises(NotKeptError):
        ds.open(make_run(tmp_path / "maps", steps=2, self_sites=True, level="cross")).objects("guided")
    whole = ds.open(make_run(tmp_path / "whole", steps=2, self_sites=True, level="qk"))
    found = whole.objects("guided")
    plain = whole.objects("default")
    assert len(found) and any((a.mask != b.mask).any() for a, b in zip(found, plain, strict=False))


@pytest.mark.parametrize("prompt", ["running fast", "4k, highly detailed", "of the and"])
def test_a_prompt_without_nouns_has_no_objects_and_a_warning(tmp_path: Path, prompt: str) -> None:
    found = ds.open(make_run(tmp_path / "run", steps=1, prompt=prompt)).objects()
    assert len(found) == 0 and "names no object" in found.warnings[0]
    assert found.facts()["objects"] == []


def test_words_that_the_model_did_not_read_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(tmp_path / "run", steps=1)
    whole = ds.open(path)
    read = whole.manifest.text
    cut = {"words": [each for each in read.words if each.text != "zeppelin"], "cut": "zeppelin, and a circle"}
    manifest = whole.manifest.model_copy(update={"text": read.model_copy(update=cut)})
    monkeypatch.setattr(whole.recording, "manifest", manifest)
    found = whole.objects("default")
    assert [each.category for each in found] == ["circle", "circle"]
    assert any("'a blue zeppelin'" in line and "was cut off" in line for line in found.warnings)


def test_a_map_that_is_the_same_everywhere_has_no_mask(run: ds.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffuscope.maps.word_view import WordView

    original = WordView.map

    def flat(self: WordView, *arguments: object, **options: object) -> object:
        found = original(self, *arguments, **options)
        return type(found)(np.full_like(found.array, 0.1), found.selection, found.label)

    monkeypatch.setattr(WordView, "map", flat)
    found = run.objects("default")
    assert len(found) == 0 and len(found.warnings) == 3 and "same everywhere" in found.warnings[0]


def test_annotate_takes_runs_and_folders_and_names_what_it_cannot_read(run: ds.Run, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    several = ds.annotate([run, run.path, tmp_path / "nowhere", tmp_path / "broken"])
    assert [each.run.id for each in several] == [run.id, run.id]
    assert [name for name, _ in several.failed] == [str(tmp_path / "nowhere"), str(tmp_path / "broken")]
    assert len(list(ds.annotate(run))) == 1
    with pytest.raises(InputError, match="no option"):
        ds.annotate(run, thresold=0.4)
