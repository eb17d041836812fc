"""New words: keys of the model against the recorded queries, kept in the run, and learned from a mask."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import make_run

from diffuscope.errors import (
    CorruptRecordingError,
    InputError,
    NotKeptError,
    SelectionError,
    UnknownWordError,
)
from diffuscope.maps import concepts as concept_maps
from diffuscope.maps.concept_file import LearnedConcept
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.resize import resize
from diffuscope.maps.segments import segment
from diffuscope.run import Run
from diffuscope.selection import Selection

torch = pytest.importorskip("torch")

from diffuscope.engine.lens import Lens  # noqa: E402
from diffuscope.testing import random_pipeline  # noqa: E402


@pytest.fixture(scope="module")
def lens():
    return Lens(random_pipeline("sd15", "tiny"))


@pytest.fixture
def run(lens, recorded, tmp_path):
    """A copy, so that its cache is empty."""
    import shutil

    return Run.open(shutil.copytree(recorded.path, tmp_path / "run"))


@pytest.fixture(scope="module")
def recorded(lens, tmp_path_factory):
    return lens.record("a red cat", steps=3, out=tmp_path_factory.mktemp("runs"), guidance_scale=3.0)


def ids_of(lens, text, padding=False):
    made = lens.pipe.tokenizer(text, padding="max_length" if padding else False, return_tensors="pt")
    return made.input_ids


@torch.no_grad()
def explicit(lens, run, text, against="own", steps=None, sites=None):
    """The map in float64 from the modules themselves: text encoder on unpadded ids, `to_k`, softmax, means."""
    ids = ids_of(lens, text)
    hidden = lens.pipe.text_encoder(ids)[0][0]
    content = range(1, len(ids[0]) - 1)
    modules = dict(lens.pipe.unet.named_modules())
    kept = [site for site in run.sites if site.kind == "cross" and (sites is None or site.name in sites)]
    size = max(tuple(site.grid) for site in run.sites if site.kind == "cross")
    total = np.zeros(size)
    chosen = range(len(run.steps)) if steps is None else steps
    for site in kept:
        module = modules[site.module]
        keys = module.to_k(hidden).double().numpy()
        keys = np.stack(np.split(keys, site.heads, axis=1))
        first = 0
        if against == "prompt":
            prompt = lens.pipe.text_encoder(ids_of(lens, run.prompt, padding=True))[0][0]
            own = np.stack(np.split(module.to_k(prompt).double().numpy(), site.heads, axis=1))
            keys, first = np.concatenate([own, keys[:, 1:-1]], axis=1), own.shape[1] - 1
        for step in chosen:
            q = run.recording.query(site.name, step).astype(np.float64)
            scores = np.einsum("hqd,hkd->hqk", q, keys) * site.scale
            table = np.exp(scores - scores.max(axis=-1, keepdims=True))
            table /= table.sum(axis=-1, keepdims=True)
            mass = table[:, :, [first + token for token in content]].sum(axis=-1).mean(axis=0)
            total += resize(mass.reshape(site.grid), size)
    return total / len(kept) / len(chosen)


@pytest.mark.parametrize("text", ["dog", "red", "a blue hat"])
@pytest.mark.parametrize("against", ["own", "prompt"])
def test_a_concept_is_the_softmax_against_its_own_keys(lens, run, text, against):
    view = lens.concept(run, text, against)
    ours = view.map()
    np.testing.assert_allclose(ours.array, explicit(lens, run, text, against), rtol=1e-4, atol=1e-6)
    assert ours.selection.concept == text and ours.selection.word is None
    assert "Open vocabulary" in ours.aggregation


def test_a_concept_answers_what_a_word_answers(lens, run):
    view = lens.concept(run, "a blue hat")
    sites = [site.name for site in run.sites if site.name.startswith("cross:up")]
    part = view.map(steps=[0, 2], sites="cross:up.*")
    np.testing.assert_allclose(
        part.array, explicit(lens, run, "a blue hat", steps=[0, 2], sites=sites), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(view.steps().array.mean(axis=0), view.map().array, rtol=1e-5)
    heads = view.heads(steps=1)
    for site in run.sites:
        if site.kind == "cross":
            mean = view.map(steps=1, sites=site.name, size="native").array
            np.testing.assert_allclose(heads.per_site[site.name][0].mean(axis=0), mean, rtol=1e-4, atol=1e-6)
    assert view.mass().shape == (3,)


def test_the_prompts_own_words_are_found_where_its_maps_are(lens, run):
    """Against the prompt, a word of it competes with itself: both get the same keys."""
    ours = lens.concept(run, "a red cat", "prompt")
    keys = ours.keys.keys[next(iter(ours.keys.keys))]
    stored = run.recording.keys(next(iter(ours.keys.keys)), 0)
    np.testing.assert_allclose(keys, stored[:, : keys.shape[1]], rtol=1e-4, atol=1e-5)


def test_the_model_is_asked_once_and_never_again(lens, run, monkeypatch):
    first = lens.concept(run, "dog").map(steps="0:2")
    opened = Run.open(run.path)
    assert opened.concepts == ["dog"]
    computed = []
    mean = concept_maps.ConceptAttention._mean
    monkeypatch.setattr(
        concept_maps.ConceptAttention, "_mean", lambda self, *rest: computed.append(rest) or mean(self, *rest)
    )
    np.testing.assert_array_equal(opened.concept("dog").map(steps="0:2").array, first.array)
    np.testing.assert_array_equal(opened.map(Selection.of("0:2", concept="dog")).array, first.array)
    assert not computed
    opened.concept("dog").map()
    assert {rest[1] for rest in computed} == {2}, "of the steps only the new one is computed"
    with pytest.raises(NotKeptError, match=r"has: dog.*lens\.concept"):
        opened.concept("dgo")


def test_a_cache_of_another_recording_or_a_damaged_one_is_not_read(lens, run, tmp_path):
    import shutil

    lens.concept(run, "dog").map()
    other = Run.open(make_run(tmp_path / "other", steps=2))
    shutil.copytree(run.path / "cache", other.path / "cache")
    assert other.concepts == []
    entries = sorted((run.path / "cache").iterdir())
    assert entries
    for path in entries:
        content = bytearray(path.read_bytes())
        content[-3] ^= 0xFF
        path.write_bytes(content)
    assert Run.open(run.path).concepts == []
    expected = explicit(lens, run, "dog")
    np.testing.assert_allclose(
        lens.concept(Run.open(run.path), "dog").map().array, expected, rtol=1e-4, atol=1e-6
    )


def test_the_cache_is_no_part_of_the_recording(lens, run):
    from diffuscope.recording.verify import verify

    lens.concept(run, "dog").map()
    found = verify(run.path)
    assert found.whole and found.unnamed == ()


def test_a_folder_that_cannot_be_written_helps_nobody_and_hurts_nobody(lens, run, monkeypatch):
    from pathlib import Path

    def refused(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert lens.concept(run, "dog").map().array.max() > 0
    assert not (run.path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "said"), [("", "empty"), ("  ", "empty"), ("!!", "no word"), ("dog " * 40, "too long")]
)
def test_texts_that_are_no_concept_are_refused(lens, run, text, said):
    with pytest.raises(InputError, match=said):
        lens.concept(run, text)


def test_another_model_is_refused(run):
    other = Lens(random_pipeline("sd15", "tiny", seed=5))
    with pytest.raises(InputError, match="not the one that drew the run"):
        other.concept(run, "dog")


def test_word_maps_alone_are_refused(lens, tmp_path):
    run = lens.record("a red cat", steps=1, out=tmp_path, keep="maps")
    with pytest.raises(NotKeptError, match="keep='cross'"):
        lens.concept(run, "dog")


def test_keys_of_another_model_are_refused(lens, run, tmp_path):
    keys = lens.concept(run, "dog").keys
    with pytest.raises(SelectionError, match="another model"):
        Run.open(make_run(tmp_path / "other", steps=2)).concept(keys)
    with pytest.raises(SelectionError, match="'own' tokens or 'prompt'"):
        run.concept(keys, "nothing")


def test_a_concept_added_nothing_and_is_no_word_of_daam(lens, run):
    view = lens.concept(run, "dog")
    with pytest.raises(SelectionError, match="took no part"):
        view.contributions()
    with pytest.raises(SelectionError, match="DAAM"):
        view.daam()


# Several against each other.


def heatmaps(**arrays):
    return [Heatmap(np.asarray(array, np.float32), Selection(), label) for label, array in arrays.items()]


def test_each_patch_goes_to_the_largest_map():
    maps = heatmaps(cat=[[0.5, 0.1], [0.2, 0.05]], dog=[[0.1, 0.4], [0.2, 0.04]])
    assert segment(maps).labels.tolist() == [[1, 2], [1, 1]]
    with_threshold = segment(maps, 0.4)
    assert with_threshold.labels.tolist() == [[1, 2], [1, 0]]
    assert with_threshold.areas == {"background": 0.25, "cat": 0.5, "dog": 0.25}
    assert with_threshold.mask("dog").tolist() == [[False, True], [False, False]]
    named = segment(maps, "dog")
    assert named.labels.tolist() == [[1, 0], [0, 1]] and named.names == ("background", "cat")


@pytest.mark.parametrize(
    ("labels", "background", "said"),
    [
        (("cat", "dog"), 1.5, "share between 0 and 1"),
        (("cat", "dog"), "sky", "none of the names"),
        (("cat",), None, "at least two"),
        (("cat", "cat"), None, "twice"),
    ],
)
def test_what_cannot_be_parted_is_refused(labels, background, said):
    maps = [Heatmap(np.eye(2, dtype=np.float32), Selection(), label) for label in labels]
    with pytest.raises(SelectionError, match=said):
        segment(maps, background)


def test_words_and_concepts_can_be_held_against_each_other(lens, run, tmp_path):
    view = lens.concept(run, "dog")
    parted = run.segment(["cat", view], steps=1)
    expected = np.stack([run.word("cat").map(steps=1).array, view.map(steps=1).array]).argmax(axis=0) + 1
    assert (parted.labels == expected).all()
    assert parted.save(tmp_path / "parts.png", run.image).is_file()
    assert (np.load(parted.save(tmp_path / "parts.npy")) == expected).all()
    with pytest.raises(UnknownWordError):
        run.segment(["cat", "zebra"])


# Learning.


@pytest.fixture(scope="module")
def mask(recorded):
    """What a word of the prompt marks: something that can be learned from the queries."""
    shown = recorded.word("cat").map().array
    return shown > np.quantile(shown, 0.7)


def test_a_learned_concept_fits_its_mask_better_than_where_it_began(lens, run, mask, tmp_path):
    learned = lens.learn_concept(run, mask, "thing", start="red", iterations=40)
    before, after = learned.about["loss"]
    assert after < before
    assert learned.about["run"] == run.id and learned.about["fingerprint"]
    loaded = LearnedConcept.load(learned.save(tmp_path / "thing.safetensors"))
    assert loaded.name == "thing" and loaded.about == learned.about
    np.testing.assert_array_equal(loaded.embedding, learned.embedding)
    shown = lens.concept(run, loaded).map().array
    np.testing.assert_array_equal(shown, lens.concept(run, tmp_path / "thing.safetensors").map().array)
    assert shown[mask].mean() > shown[~mask].mean()
    begin = LearnedConcept("begin", first_rows(lens, "red"), {})
    untaught = lens.concept(run, begin).map().array
    assert shown[mask].mean() - shown[~mask].mean() > untaught[mask].mean() - untaught[~mask].mean()


@torch.no_grad()
def first_rows(lens, text):
    hidden = lens.pipe.text_encoder(ids_of(lens, text))[0][0]
    return torch.stack([hidden[0], hidden[1:-1].mean(dim=0)]).numpy()


def test_what_is_fitted_is_the_map_that_is_shown(lens, run, mask):
    """The loss after no steps worth the name is that of the map that `concept` then gives."""
    learned = lens.learn_concept(run, mask, "thing", start="red", iterations=1, rate=1e-9, dice=0.0)
    begin = LearnedConcept("begin", first_rows(lens, "red"), {})
    shown = np.clip(lens.concept(run, begin).map().array.astype(np.float64), 1e-6, 1 - 1e-6)
    entropy = -np.where(mask, np.log(shown), np.log(1 - shown)).mean()
    assert learned.about["loss"][0] == pytest.approx(entropy, rel=1e-4)


def test_learning_leaves_the_model_as_it_was(lens, run, mask):
    weights = {name: value.clone() for name, value in lens.pipe.unet.state_dict().items()}
    lens.learn_concept(run, mask, "thing", iterations=2)
    assert all(torch.equal(value, weights[name]) for name, value in lens.pipe.unet.state_dict().items())
    assert all(parameter.grad is None for parameter in lens.pipe.unet.parameters())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((8, 8), bool), "empty or covers"),
        (np.ones((8, 8), bool), "empty or covers"),
        (np.zeros((8, 8, 3), np.uint8), "a mask is"),
        (np.full((8, 8), 0.5), "a mask is"),
    ],
)
def test_masks_that_mark_nothing_are_refused(lens, run, wrong, said):
    with pytest.raises(InputError, match=said):
        lens.learn_concept(run, wrong, "thing")


def test_a_concept_of_other_weights_is_refused(lens, run, mask, tmp_path):
    learned = lens.learn_concept(run, mask, "thing", iterations=1)
    other = Lens(random_pipeline("sd15", "tiny", seed=5))
    theirs = other.record("a red cat", steps=1, out=tmp_path)
    with pytest.raises(InputError, match="other weights"):
        other.concept(theirs, learned)


def test_files_that_are_no_concept_are_refused(lens, run, tmp_path):
    from diffuscope.recording.tensors import write_safetensors

    with pytest.raises(InputError, match="no concept file"):
        lens.concept(run, tmp_path / "none.safetensors")
    write_safetensors(tmp_path / "other.safetensors", {"embedding": np.zeros((2, 32), np.float32)})
    with pytest.raises(InputError, match="no concept file"):
        LearnedConcept.load(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(CorruptRecordingError):
        LearnedConcept.load(tmp_path / "broken.safetensors")
    with pytest.raises(InputError, match="safetensors"):
        LearnedConcept("a", np.zeros((2, 4), np.float32)).save(tmp_path / "a.npy")


def test_joint_attention_is_refused(tmp_path):
    joint = Lens(random_pipeline("sd3", "tiny"))
    run = joint.record("a red cat", steps=1, out=tmp_path, keep="qk")
    with pytest.raises(SelectionError, match="do not depend on the picture"):
        joint.concept(run, "dog")
    with pytest.raises(SelectionError, match="joint"):
        run.concept(concept_maps.ConceptKeys("dog", ("dog",), ((0,),), {}))


def test_at_joint_sites_words_are_renormalised_on_request(tmp_path):
    joint = Lens(random_pipeline("sd3", "tiny"))
    run = joint.record("a red cat", steps=1, out=tmp_path, keep="qk")
    site = run.sites[0]
    tokens, length = list(run.word("cat").tokens), site.text_keys[1] - site.text_keys[0]
    q = run.recording.query(site.name, 0).astype(np.float64)
    k = run.recording.keys(site.name, 0).astype(np.float64)
    table = np.exp(np.einsum("hqd,hkd->hqk", q, k) * site.scale)
    for renormalise, total in ((False, table), (True, table[:, :, :length])):
        shown = (table[:, :, tokens].sum(axis=-1) / total.sum(axis=-1)).mean(axis=0).reshape(site.grid)
        ours = run.word("cat").map(sites=site.name, size="native", renormalise=renormalise)
        np.testing.assert_allclose(ours.array, shown, rtol=1e-4, atol=1e-6)
        assert ("text's keys alone" in ours.aggregation) == renormalise
