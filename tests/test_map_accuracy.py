"""The evaluation of maps: its shortcuts give the maps' own numbers, and it can be left and taken up again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import Layout, make_run

import diffuscope as ds
from diffuscope.analysis.objects.segmentation_accuracy import Objects
from diffuscope.errors import DiffuscopeError, InputError, RunFolderError
from diffuscope.maps.refinement import Refinement
from diffuscope.maps.resize import resize
from diffuscope.studies.execution import Broken, Done, Executor, Lost
from diffuscope.studies.map_accuracy import evaluating
from diffuscope.studies.map_accuracy.head_maps import BASE, Material, material
from diffuscope.studies.map_accuracy.methods import CEILING, centre
from diffuscope.studies.map_accuracy.samples import Sample, Target, orders
from diffuscope.studies.map_accuracy.scores import PictureScores, Scoring, file_of
from diffuscope.studies.map_accuracy.study import Study
from diffuscope.studies.map_accuracy.tuning import _map, _Trial, choose

SITES = [
    Layout("cross:down.0.0", (16, 16), 3, 16),
    Layout("cross:up.0.0", (8, 8), 8, 8),
    Layout("self:up.0.0", (16, 16), 2, 8, kind="self"),
    Layout("self:up.0.1", (8, 8), 2, 8, kind="self"),
]


def a_sample(folder: Path, picture: int = 0, prompt: str | None = None) -> Sample:
    run = ds.open(make_run(folder, sites=SITES, level="qk", steps=4, seed=picture))
    mask = np.zeros((128, 128), bool)
    mask[30:70, 20:90] = True
    targets = (
        Target("zeppelin", "zeppelin", "blue zeppelin", mask),
        Target("circle", "circle", "circle", mask.T),
    )
    return Sample(run, targets, picture, picture)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return a_sample(tmp_path_factory.mktemp("runs") / "run")


# Shortcuts.


@pytest.mark.parametrize("direction", ["to", "from"])
@pytest.mark.parametrize("sites", ["all", "self:up.0.0"])
def test_a_region_diffused_no_times_is_its_own_map(sample, direction, sites):
    for named in ({"pixel": centre(sample.targets[0].mask)}, {"box": (20, 30, 89, 69)}):
        view = sample.run.region(**named)
        plain = view.map(direction=direction, sites=sites).array
        found = view.diffused(iterations=0, direction=direction, sites=sites).array
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-8)


def test_matrices_are_held_in_memory_once(sample):
    run = ds.open(sample.run.path)
    made = []
    whole = run._self_attention.matrix
    run._self_attention.matrix = lambda site, step, **more: made.append(site) or whole(site, step, **more)
    first = run.refined("circle", "spread").array
    number = len(made)
    assert number == 4 * 2
    run.region(pixel=(3, 4)).diffused()
    run.parts(3)
    np.testing.assert_array_equal(run.refined("circle", "spread").array, first)
    run.refined("circle", Refinement(spread=1, sharpen=2.0, spread_sites="self:up.0.0"))
    assert len(made) == number


def test_matrices_that_do_not_fit_are_not_held(sample):
    run = ds.open(sample.run.path)
    run._self_attention._budget = 16 * 16 * 16 * 16 * 4
    run.parts(3)
    assert len(run._self_attention._matrices) == 1
    run._self_attention._budget = 10
    run._self_attention._matrices.clear()
    run.parts(3)
    assert not run._self_attention._matrices


def test_head_maps_are_those_of_the_views(sample):
    found = material(sample)
    late = "1:4"  # from 35 % of 4 steps on
    for at, target in enumerate(sample.targets):
        expected = sample.run.phrase(target.phrase).heads(late)
        planes = [resize(maps.mean(axis=0), (16, 16)) for maps in expected.per_site.values()]
        np.testing.assert_allclose(found.heads[at], np.concatenate(planes), rtol=1e-5, atol=1e-8)
    assert found.names == (
        *[("cross:down.0.0", head) for head in range(3)],
        *[("cross:up.0.0", h) for h in range(8)],
    )


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize(("spread", "edges"), [(0, 0.0), (2, 0.0), (2, 1 / 8)])
def test_a_preset_is_tried_as_it_will_be_used(sample, share, spread, edges):
    kept = material(sample)
    heads = (("cross:down.0.0", (2,)), ("cross:up.0.0", (1, 5)))
    how = replace(BASE, share=share, spread=spread, edges=edges, heads=heads)
    tried = _map(kept, 0, _Trial(how, (2, 4, 8)))
    used = sample.run.refined("blue zeppelin", how).array
    np.testing.assert_allclose(tried, used, rtol=2e-4, atol=1e-4 * used.max())


def test_the_heads_that_find_objects_are_chosen_on_the_tuning_half_alone():
    rng = np.random.default_rng(5)
    masks = np.zeros((1, 64, 64), bool)
    masks[0, 16:40, 8:48] = True
    kept = []
    for picture in range(6):
        heads = rng.random((1, 5, 16, 16)) * 0.5
        # Head 3 finds objects in the tuning half, head 1 in the other.
        heads[0, 3 if picture % 2 == 0 else 1] = resize(masks[0].astype(float), (16, 16), "area")
        names = tuple(("cross:up", head) for head in range(5))
        kept.append(
            Material(
                names,
                heads.astype(np.float32),
                np.ones((5, 16, 16), np.float32),
                None,
                rng.integers(0, 255, (64, 64, 3), dtype=np.uint8),
                masks,
            )
        )
    objects = Objects(["cat"] * 6, range(6), groups=range(6))
    tuned, bare = choose(kept, objects, "model abc")
    preset, outcomes = tuned.preset, tuned.outcomes
    assert bare.preset.edges == 0 and bare.preset.heads == preset.heads and bare.preset.model == "model abc"
    assert preset.heads == (("cross:up", (3,)),) and preset.model == "model abc" and preset.spread == 0
    best = [each.iou.max() for each in outcomes]
    assert min(best[0::2]) > 0.8 > max(best[1::2])


# Scores.


def test_scores_come_back_from_their_file(sample, tmp_path):
    scores = Scoring().score(sample)
    again = PictureScores.load(scores.save(tmp_path))
    assert (again.objects, again.methods, again.model) == (scores.objects, scores.methods, scores.model)
    for name in ("iou", "accuracy", "ap", "none"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))
    assert again.material is not None and scores.material is not None
    for name, values in scores.material.tensors().items():
        np.testing.assert_array_equal(again.material.tensors()[name], values)
    assert again.material.names == scores.material.names
    assert list(again.shown) == list(scores.shown) and "default, phrase" in again.shown
    np.testing.assert_array_equal(again.shown["default, phrase"], scores.shown["default, phrase"])
    with pytest.raises(KeyError):
        again.shown["none"]
    none = Sample(sample.run, (), 7, 7, 2)
    nothing = PictureScores.load(Scoring().score(none).save(tmp_path))
    assert (nothing.picture, nothing.missing, nothing.objects) == (7, 2, ())


def test_another_file_is_no_scores(sample, tmp_path):
    from diffuscope.recording import write_safetensors

    write_safetensors(tmp_path / file_of(0), {"iou": np.zeros(3)}, {})
    with pytest.raises(InputError, match="no scores"):
        PictureScores.load(tmp_path / file_of(0))


def test_scored_pictures_are_not_scored_again(sample, tmp_path, monkeypatch):
    first = list(evaluating.scored([sample], tmp_path))
    monkeypatch.setattr(Scoring, "score", None)
    again = list(evaluating.scored([sample], tmp_path))
    np.testing.assert_array_equal(first[0].iou, again[0].iou)


def test_pictures_of_two_models_are_not_mixed(sample, tmp_path):
    scores = Scoring().score(sample)
    study = Study()
    study.add([scores])
    with pytest.raises(InputError, match="another model"):
        study.add([replace(scores, model="other abc")])
    with pytest.raises(InputError, match="other methods"):
        study.add([replace(scores, methods=scores.methods[:-1])])
    with pytest.raises(InputError, match="draw more"):
        study.findings()


# Drawing, leaving and taking up again.


def test_an_evaluation_goes_on_where_it_was_left(tmp_path, monkeypatch):
    asked = orders(3, 2)
    monkeypatch.setattr(evaluating, "BATCH", 2)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(evaluating.evaluate(asked, tmp_path, model="scenes", steps=3, on_picture=stop))
    assert told == [(0, 6), (2, 6)] and len(list(tmp_path.iterdir())) == 2
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    found = list(evaluating.evaluate(asked, tmp_path, model="scenes", steps=3))
    assert [each.picture for each in found] == [0, 1, 2, 3, 4, 5]
    assert all((tmp_path / name).stat().st_mtime_ns == at for name, at in written.items())
    monkeypatch.setattr(evaluating, "MapWorker", None)
    again = list(evaluating.evaluate(asked, tmp_path, model="scenes", steps=3))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.iou, other.iou)
    with pytest.raises(InputError, match="3 steps and not in 4"):
        list(evaluating.evaluate(asked, tmp_path, model="scenes", steps=4))
    with pytest.raises(InputError, match="another picture"):
        list(evaluating.evaluate(orders(3, 1), tmp_path, model="scenes", steps=3))
    seen = [each for each in found if each.objects]
    for each in seen:
        assert each.iou[[name for name, _ in each.methods].index(CEILING)].max() > 0.5


def test_scores_that_cannot_be_written_say_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        list(evaluating.evaluate(orders(2, 1), tmp_path / "file", model="scenes"))


class Pretended(Executor):
    """Workers in this process: the first batch is lost as often as asked, others come back."""

    name = "pretended"

    def __init__(self, lose: int) -> None:
        self.lose, self.events, self.batches = lose, [], []

    def start(self, spec) -> None:
        self.spec = spec

    @property
    def workers(self) -> int:
        return 1

    def free(self) -> int:
        return 0 if self.events else 1

    def submit(self, ticket, jobs) -> None:
        self.batches.append([job["picture"] for job in jobs])
        self.lose -= 1
        self.events.append(Lost(ticket, "killed") if self.lose >= 0 else Done(ticket, [{}] * len(jobs)))

    def wait(self, seconds):
        events, self.events = self.events, []
        return events

    def stop(self) -> None:
        self.events = []


def test_a_lost_batch_is_given_out_again(tmp_path, sample):
    asked = orders(4, 2)
    for order in asked:
        made = Scoring().score(Sample(sample.run, (), order.picture, order.group))
        replace(made, prompt=order.prompt).save(tmp_path)
    (tmp_path / file_of(3)).rename(tmp_path / "kept")
    executor = Pretended(2)
    found = evaluating.evaluate(asked, tmp_path, model="scenes", executor=executor)
    with pytest.raises(DiffuscopeError):  # this executor writes nothing
        list(found)
    assert executor.batches == [[3], [3], [3]]
    assert executor.spec.factory.endswith(":MapWorker") and executor.spec.options["model"] == "scenes"
    with pytest.raises(DiffuscopeError, match="killed"):
        list(evaluating.evaluate(asked, tmp_path, model="scenes", executor=Pretended(99)))


def test_a_worker_that_cannot_be_made_ends_it(tmp_path):
    executor = Pretended(0)
    executor.wait = lambda seconds: [Broken(0, "model-not-found", "there is no model")]
    with pytest.raises(InputError, match="there is no model"):
        list(evaluating.evaluate(orders(2, 1), tmp_path, model="nothing", executor=executor))
