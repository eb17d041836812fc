"""Questions that name heads, rankings that are kept, edits at several strengths, masks that are painted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from synthetic_run import Layout, layouts, make_run

from diffuscope.analysis.cause.importance import HeadEffect, HeadRanking, keep_ranking, kept_ranking
from diffuscope.analysis.head_query import parse
from diffuscope.edits import (
    Encode,
    PatchChoice,
    Reprompt,
    Reweight,
    Scale,
    Silence,
    Steer,
    at_strength,
    control,
    from_json,
)
from diffuscope.errors import (
    DiffuscopeError,
    EditError,
    InputError,
    NotKeptError,
    RegionError,
    UnknownWordError,
)
from diffuscope.maps.cache import RunCache
from diffuscope.run import Run

SITES = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(make_run(tmp_path / "whole", steps=3, level="qk", sites=SITES))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def ranking(target: str = "circle", seeds: int = 4) -> HeadRanking:
    def head(site: str, number: int, effect: float, low: float, high: float) -> HeadEffect:
        return HeadEffect(site, number, effect, low, high, 0.5, 1.0, seeds, "open")

    heads = (
        head("cross:mid", 2, 5.0, 4.0, 6.0),
        head("cross:up.0.0", 1, 3.5, 2.0, 4.5),
        head("cross:mid", 0, 2.5, 1.5, 3.0),
        head("cross:down.0.0", 0, 0.1, 0.0, 0.2),
    )
    return HeadRanking(
        "p", target, "judge", (1, 2), (), 1, 0.05, "student", heads, 8, 8, word=target, window="0:2"
    )


def test_a_ranking_by_mass_is_that_of_the_maps(run: Run) -> None:
    heads = run.word("circle").heads()
    masses = {
        (site, head): float(value)
        for site, each in heads.mass().items()
        for head, value in zip(heads.heads[site], each.mean(axis=0), strict=True)
    }
    best = sorted(masses, key=lambda cell: -masses[cell])
    found = run.pick("top 4 for circle")
    assert found.cells == tuple(best[:4]) and found.by == "mass" and found.unit == "attention probability"
    assert [each.value for each in found.heads] == pytest.approx(
        [masses[cell] for cell in best[:4]], rel=1e-5
    )
    assert [each.rank for each in found.heads] == [1, 2, 3, 4]
    assert run.pick("bottom 2 for circle").cells == (best[-1], best[-2])
    assert [each.rank for each in run.pick("bottom 2 for circle").heads] == [14, 13]
    mid = [cell for cell in best if cell[0] == "cross:mid" and cell[1] in (1, 2, 3)]
    assert run.pick("top 9 for circle sites=cross:mid heads=1:4").cells == tuple(mid)


def test_steps_of_a_question_are_those_that_it_counts(run: Run) -> None:
    found = run.pick("top 14 for 'red circle' steps=1:")
    masses = run.phrase("red circle").heads("1:").mass()
    for each in found.heads:
        assert each.value == pytest.approx(masses[each.site][:, each.head].mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("question", "normal", "count"),
    [
        ("all", "all", 25),
        (" cross:up.*/0 ", "cross:up.*/0", 1),
        ("sites=cross:mid,cross:up.* heads=0:2", "cross:mid,cross:up.*/0:2", 4),
        ("heads=1", "*/1", 5),
        ("*/1", "*/1", 5),
        ("TOP 2 FOR circle BY mass", "top 2 for circle", 2),
        ('top 3 for "red circle" steps=0', "top 3 for 'red circle' steps=0", 3),
        ("self:mid; cross:mid/0,3:5; self:mid/1", "self:mid; cross:mid/0,3:5; self:mid/1", 11),
    ],
)
def test_questions_read_as_they_are_written(run: Run, question: str, normal: str, count: int) -> None:
    found = run.pick(question)
    assert (found.query, len(found.heads)) == (normal, count)
    assert run.pick(normal).heads == found.heads
    # The aims of edits are together exactly these heads.
    aimed = [cell for sites, heads in found.aims for cell in run.pick(f"sites={sites} heads={heads}").cells]
    assert sorted(aimed) == sorted(found.cells)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("", InputError),
        (";;", InputError),
        ("top 0 for circle", InputError),
        ("top 3 circle", InputError),
        ("top 3 for circle by magic", InputError),
        ("top 3 for circle word=red", InputError),
        ("word=red", InputError),
        ("cross:mid/", InputError),
        ("cross:mid heads", InputError),
        ("cross:side", DiffuscopeError),
        ("cross:mid/9", DiffuscopeError),
        ("top 3 for circle steps=9", DiffuscopeError),
        ("top 3 for dog", UnknownWordError),
        ("top 3 for circle by effect", NotKeptError),
        ("top 3 for circle by contribution", NotKeptError),
    ],
)
def test_questions_that_cannot_be_answered_say_why(
    run: Run, question: str, kind: type[DiffuscopeError]
) -> None:
    with pytest.raises(kind) as caught:
        run.pick(question)
    assert "\n" not in str(caught.value)


def test_a_quote_keeps_a_semicolon() -> None:
    first, second = parse("top 3 for 'a;b'; cross:mid")
    assert first.word == "a;b" and second.where.sites == "cross:mid"


def test_rankings_are_kept_with_the_run_and_asked_by_effect(run: Run) -> None:
    with pytest.raises(NotKeptError, match="ranked"):
        kept_ranking(run.recording, "circle")
    keep_ranking(run.recording, ranking())
    keep_ranking(run.recording, ranking("zeppelin"))
    reopened = Run.open(run.path)
    assert kept_ranking(reopened.recording, "Circle") == ranking() and len(reopened.rankings) == 2
    found = reopened.pick("top 2 for circle by effect")
    assert found.cells == (("cross:mid", 2), ("cross:up.0.0", 1)) and found.by == "effect"
    assert (found.heads[0].value, found.heads[0].low, found.heads[0].high) == (5.0, 4.0, 6.0)
    assert reopened.pick("bottom 1 for circle by effect sites=cross:mid").cells == (("cross:mid", 0),)
    with pytest.raises(DiffuscopeError, match="its own steps"):
        reopened.pick("top 2 for circle by effect steps=0")
    # Another made with the same question takes its place.
    keep_ranking(run.recording, replace(ranking(), drawn=99))
    assert kept_ranking(run.recording, "circle").drawn == 99 and len(run.rankings) == 2
    # One that was broken off does not, where the other rests on more seeds.
    keep_ranking(run.recording, replace(ranking(), drawn=1, seeds=(1,)), whole=False)
    assert kept_ranking(run.recording, "circle").drawn == 99
    keep_ranking(run.recording, replace(ranking(), drawn=200, seeds=(1, 2, 3)), whole=False)
    assert kept_ranking(run.recording, "circle").drawn == 200


def test_a_ranking_that_was_tampered_with_is_none(run: Run) -> None:
    for said in (b"[]", b"{}", b"\xff", b'{"heads": 3}'):
        RunCache(run.recording).write(
            "heads", {"target": said.hex()}, {"json": np.frombuffer(said, np.uint8)}
        )
    assert run.rankings == []


def test_places_of_a_ranking_are_those_that_its_intervals_leave_open() -> None:
    assert ranking().ranks == ((1, 2), (1, 3), (2, 3), (4, 4))
    one = replace(
        ranking(),
        heads=tuple(replace(each, low=math.nan, high=math.nan, seeds=1) for each in ranking().heads),
    )
    assert one.ranks == ((1, 4),) * 4
    told = ranking().to_json()
    assert [(each["rank"], each["rank_best"], each["rank_worst"]) for each in told["heads"]][:2] == [
        (1, 1, 2),
        (2, 1, 3),
    ]
    assert HeadRanking.of_json(json.loads(json.dumps(told))) == ranking()


def test_strength_goes_from_no_effect_to_the_edit_and_beyond() -> None:
    patches = PatchChoice.box(0, 0, 3, 3, grid=(8, 8))
    scale = Scale(0.0, sites="cross:mid", heads="3", steps="0:2", patches=patches)
    assert at_strength(scale, 0.25) == replace(scale, factor=0.75) and at_strength(scale, 1) == scale
    assert at_strength(scale, 2).factor == -1  # type: ignore[attr-defined]
    assert at_strength(Reweight("circle", 3, of="odds"), 0.5) == Reweight("circle", 2, of="odds")
    assert at_strength(Silence("circle", steps="1"), 0.25) == Reweight("circle", 0.75, steps="1")
    assert at_strength(Encode("unicorn", 0.8), 0.5) == Encode("unicorn", 0.4)
    assert at_strength(Steer("blue"), 0) == Steer("blue", strength=0)
    for edit in (Reprompt("a dog"), control(Scale(0.0))):
        with pytest.raises(EditError, match="no strength"):
            at_strength(edit, 0.5)
    with pytest.raises(EditError, match="no number"):
        at_strength(scale, math.inf)


def test_a_painted_mask_is_read_by_its_run_lengths() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1, 0] = mask[2, 1] = mask[0, 2] = True
    given = {"rle": {"size": [3, 4], "counts": [1, 1, 3, 2, 5]}, "grid": [3, 4]}
    assert PatchChoice.of_json(given) == PatchChoice.mask(mask, grid=(3, 4))
    edit = from_json({"edit": "scale", "factor": 0, "patches": given})
    assert edit.patches == PatchChoice.mask(mask, grid=(3, 4)) and from_json(edit.to_json()) == edit
    for wrong in (
        {"size": [3, 4], "counts": [13]},
        {"size": [3, 4], "counts": [12]},
        {"size": [3, 4], "counts": [-1, 13]},
        {"size": [3, 4], "counts": [0, 1.0, 11]},
        {"size": [3, 4], "counts": "12"},
        {"size": [3], "counts": [0, 12]},
        {"size": [2**15, 2**15], "counts": [0, 2**30]},
        {"size": [3, 4], "counts": [0, 12], "more": 1},
        {"counts": [0, 12]},
        [0, 12],
    ):
        with pytest.raises(RegionError):
            PatchChoice.of_json({"rle": wrong})
    with pytest.raises(RegionError, match="painted on the grid"):
        PatchChoice.of_json({"rle": {"size": [3, 4], "counts": [0, 12]}, "grid": [6, 8]})
    with pytest.raises(RegionError):
        PatchChoice.of_json({"rle": {"size": [3, 4], "counts": [0, 12]}, "region": "box:0,0,1,1"})


def test_the_command_line_draws_the_atlas_and_answers_questions(
    run: Run, cli: CommandLine, tmp_path: Path
) -> None:
    picture = tmp_path / "figures" / "atlas.png"
    told = cli(
        "heads", str(run.path), "--word", "circle", "--atlas", str(picture), "--window", "1", "--json"
    ).json
    assert (
        picture.is_file()
        and told["content"] == "word:circle"
        and told["steps"] == [1]
        and told["heads"] == 14
    )
    told = cli(
        "heads", str(run.path), "--show", "received", "--atlas", str(picture), "--scale", "map", "--json"
    ).json
    assert told["sites"] == ["self:mid", "self:up.0.0"] and told["unit"] == "attention probability"
    told = cli("heads", str(run.path), "--pick", "top 3 for circle", "--json").json
    assert [each["rank"] for each in told["heads"]] == [1, 2, 3]
    assert told["aims"] == [
        {"sites": sites, "heads": heads} for sites, heads in run.pick("top 3 for circle").aims
    ]
    assert "cross:mid" in cli("heads", str(run.path), "--pick", "cross:mid/0").out
    keep_ranking(run.recording, ranking())
    effect = tmp_path / "effect.png"
    told = cli(
        "heads", str(run.path), "--word", "circle", "--show", "effect", "--atlas", str(effect), "--json"
    ).json
    assert effect.is_file() and told["content"] == "effect:circle" and told["heads"] == 4
    for wrong in (
        ("--atlas", str(picture)),
        ("--atlas", str(picture), "--show", "effect"),
        ("--atlas", str(picture), "--show", "effect", "--word", "red"),
        ("--atlas", str(picture), "--show", "norm"),
        ("--atlas", str(picture), "--word", "dog"),
        ("--atlas", str(picture), "--word", "circle", "--scale", "log"),
        ("--pick", "top 3 circle"),
    ):
        assert cli.refuses("heads", str(run.path), *wrong)
