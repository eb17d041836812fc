"""Pages of findings say what is in the tables: an effect that was put in, and none where there is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from made_up_study import Row, came, made_up, row
from PIL import Image

pytest.importorskip("scipy")
pytest.importorskip("pyarrow")
pytest.importorskip("ruamel.yaml")

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.order import Control, Paired
from diffuscope.errors import InputError
from diffuscope.findings import FINDINGS, find_finding, write
from diffuscope.findings.attention_timing import attention_and_picture, ordered, ways, within
from diffuscope.findings.drawing_order import attribute_and_noun, background_and_foreground, several_things
from diffuscope.findings.evidence import Evidence, banded, difference_of, mean_of
from diffuscope.findings.page import LARGEST, Page, interval, number, probability, share, small
from diffuscope.findings.prepositions import SIDES, placed, prepositions
from diffuscope.findings.self_attention import PHASES, REGIONS, received_attention, self_attention_regions
from diffuscope.findings.wording import control_said, verdict
from diffuscope.studies.plans import shipped
from diffuscope.studies.units import Unit


def flat(page: Page) -> str:
    """A page's text in one line."""
    return " ".join(page.text().split())


def steps_of(unit: Unit, at: dict[str, float], random: np.random.Generator) -> list[Row]:
    """Emergence by picture at about these steps, by attention at random ones; masses."""
    rows = [row("judge_all", 1.0)]
    for target, step in at.items():
        time = None if unit.seed == 2 and target == "{place}" else step + random.integers(0, 2)
        rows.append(came("emergence_image", target, time))
        rows.append(came("emergence_attention_finest", target, float(random.integers(0, 15))))
        rows.append(came("peak", target, float(random.integers(0, 15))))
        rows.append(row("peak", 0.0, target, "flat"))
        rows.append(came("stabilisation_finest", target, float(random.integers(0, 15))))
        rows.append(row("stabilisation_finest", 1.0, target, "moved"))
        rows += [row("mass", 0.01 + 0.001 * each, target, step=each) for each in range(20)]
        rows.append(row("mass", 0.02, target))
    return rows


def test_an_order_that_was_put_in_is_found_and_its_figures_are_small(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    study = made_up(
        tmp_path,
        "attribute-and-noun",
        lambda unit: steps_of(unit, {"{colour}": 2.0, "{noun}": 6.0, "{place}": 9.0}, random),
    )
    files = write("attribute-and-noun", study.folder, tmp_path / "pages")
    text = " ".join(files[0].read_text(encoding="utf-8").split())
    assert "The attribute comes before the noun, by 4 (" in text
    assert "The noun comes before the setting" in text
    # The judge never saw the setting with one seed of three.
    assert "never in 33%" in text
    assert "48 pictures: 8 prompts x 3 seeds x 2 conditions" in text
    assert text.count("The order stays") == 2
    for name in re.findall(r"\((images/[^)]+)\)", text):
        picture = tmp_path / "pages" / name
        assert picture.stat().st_size < LARGEST
        assert Image.open(picture).width > 400
    assert {file.name for file in files[1:]} == {
        f"attribute-and-noun-{name}{theme}.png" for name in ("order", "mass") for theme in ("", "-dark")
    }


def test_no_order_is_said_to_be_none(tmp_path: Path) -> None:
    random = np.random.default_rng(2)

    def values(unit: Unit) -> list[Row]:
        # Each prompt has an order of its own, and on the whole there is none.
        lead = 2.0 if unit.prompt.index % 2 else -2.0
        return steps_of(unit, {"{first}": 8 + lead, "{second}": 8 - lead, "{place}": 8.0}, random)

    page = several_things(Evidence(made_up(tmp_path, "several-things", values)))
    text = flat(page)
    assert "No order of the first and the second is seen" in text
    assert "The first comes before" not in text


def compared_as(low: float, high: float, median: float | None, p: float) -> Paired:
    ends = (-np.inf, np.inf) if median is None else (median, median)
    return Paired("first", "its colour", 80, 0, median, ends, low, high, 1, 60, 5, p, True, 8)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            compared_as(-np.inf, -4, -7, 0.008),
            "The first comes after its colour, by 7 steps (at least 4) in the median run (1 run earlier, 60 later, 5",
        ),
        (compared_as(1, 8.5, 4.5, 0.021), "The first comes before its colour, by 4.5 (1 to 8.5) steps in"),
        (compared_as(-np.inf, -13, None, 0.008), "The first comes after its colour, by at least 13 steps in"),
        (
            compared_as(3, np.inf, None, 0.45),
            "is claimed: in the median run the first comes before its colour, by at least 3 steps, but too few prompts",
        ),
        (
            compared_as(-2, 3, 1, 0.01),
            "No order of the first and its colour is seen: the median difference is 1 (−2 to 3) steps.",
        ),
        (compared_as(-np.inf, np.inf, None, 1), "the median difference is not bounded (−∞ to ∞) steps."),
    ],
)
def test_an_order_is_claimed_where_interval_and_sign_test_agree(found: Paired, said: str) -> None:
    text = verdict(found)
    assert said in text and "by −" not in text
    assert bool(found.order) == ("claimed" not in text and "seen" not in text)


def test_an_order_stays_where_it_is_claimed_on_both_wordings() -> None:
    sure, unsure = compared_as(1, 2, 1, 0.01), compared_as(1, 2, 1, 0.4)
    assert (sure.order, unsure.order, unsure.leans) == (1, 0, 1)
    said = [
        control_said(
            Control(one, other, None, None, None, 0, bool(one.order) and one.order == other.order), "x"
        )
        for one, other in ((sure, sure), (sure, unsure), (unsure, sure))
    ]
    assert ["stays" in said[0], "does not hold" in said[1], "no order as worded" in said[2]] == [True] * 3


def test_words_that_were_swapped_turn_an_order_of_words_round(tmp_path: Path) -> None:
    """If what is named first comes first, the thing's own order does not hold."""
    random = np.random.default_rng(3)

    def values(unit: Unit) -> list[Row]:
        first = 3.0 if unit.condition != "detail named first" else 8.0
        return steps_of(unit, {"{main}": first, "{detail}": 11 - first, "{place}": 5.0}, random)

    text = flat(background_and_foreground(Evidence(made_up(tmp_path, "background-and-foreground", values))))
    assert "*detail named first*, main against detail: The order does not hold" in text


def test_a_study_that_is_not_finished_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    study = made_up(
        tmp_path,
        "attribute-and-noun",
        lambda unit: steps_of(unit, {"{colour}": 2.0, "{noun}": 6.0, "{place}": 9.0}, random),
        prompts=3,
    )
    assert "Of 48 planned runs 30 were not drawn yet" in flat(attribute_and_noun(Evidence(study)))
    with pytest.raises(InputError, match="another plan"):
        write("prepositions", study.folder, tmp_path / "pages")


@pytest.mark.parametrize("linked", [True, False])
def test_attention_that_follows_the_picture_is_told_from_one_that_does_not(
    tmp_path: Path, linked: bool
) -> None:
    random = np.random.default_rng(7)
    targets = ("{noun}", "{other_noun}", "{colour}", "{other_colour}", "{place}")
    phrases = ("{colour} {noun}", "{other_colour} {other_noun}")

    def values(unit: Unit) -> list[Row]:
        rows = [row("judge_all", 1.0)]
        drawn = {target: int(random.integers(2, 14)) for target in targets}
        drawn |= {phrases[0]: drawn["{noun}"], phrases[1]: drawn["{other_noun}"]}
        for target in (*targets, *phrases):
            if target in targets:
                rows.append(came("emergence_image", target, drawn[target]))
            for measure in (
                "emergence_attention",
                "emergence_attention_finest",
                "stabilisation",
                "stabilisation_finest",
                "peak",
            ):
                near = drawn[target] + int(random.integers(0, 2))
                rows.append(came(measure, target, near if linked else int(random.integers(0, 15))))
        return rows

    evidence = Evidence(made_up(tmp_path, "attention-and-picture", values))
    found = ways(evidence)
    nouns = found[1].by_kind["nouns"]
    assert nouns is not None and nouns.points == 120 and nouns.clusters == 20
    text = flat(attention_and_picture(evidence))
    if linked:
        assert nouns.low > 0.9 and found[1].order is not None and found[1].order.low > 0.9
        assert text.count("nouns: rho") == text.count("a usable stand-in") - 2 == 6  # Twice in short
    else:
        assert abs(nouns.rho) < 0.2
        assert "a usable stand-in" not in text


def test_the_order_of_two_is_counted_by_runs() -> None:
    def events(times: dict[str, tuple[float | None, float | None]]) -> list[Event]:
        return [
            Event(unit, name, 19.0 if time is None else time, time is None, unit[0])
            for unit, pair in times.items()
            for name, time in zip("ab", pair, strict=True)
        ]

    one = events({"1/0": (3, 5), "1/1": (7, 2), "2/0": (4, 4), "2/1": (None, 3), "2/2": (None, None)})
    other = events({"1/0": (1, 9), "1/1": (1, 9), "2/0": (1, 9), "2/1": (8, 3), "2/2": (1, 2)})
    found = ordered(one, other)
    # 1/0 agrees, 1/1 does not, 2/0 is a tie, in 2/1 the one that never came is the later, 2/2 has no order.
    assert found is not None and (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert ordered(one[:2], []) is None


@pytest.mark.parametrize("obeyed", [True, False])
def test_prepositions_that_are_obeyed_are_said_to_be(tmp_path: Path, obeyed: bool) -> None:
    random = np.random.default_rng(4)

    def values(unit: Unit) -> list[Row]:
        axis, sign = SIDES[unit.prompt.factors["relation"]]
        side = sign * {"as worded": 1, "opposite": -1}.get(unit.condition, random.choice([-1, 1]))
        if not obeyed:
            side = random.choice([-1, 1])
        rows = [row(axis, 30.0 * side), row("placement_x" if axis == "placement_y" else "placement_y", 3.0)]
        rows += [row("judge_nouns", 1.0), row("judge_relation", 1.0)]
        words = ["{noun}", "{other_noun}", "{colour}", "{other_colour}", "a", "<start>", "<end>"]
        for word in [*words, *unit.prompt.factors["relation"].split()]:
            named = word in ("left", "right", "above", "below", "of")
            rows += [row("mass", 0.005 if named else 0.02, word), row("focus", 0.1, word)]
        return rows

    evidence = Evidence(made_up(tmp_path, "prepositions", values))
    rate, offset = placed(evidence, "as worded")
    assert rate.n == 24
    text = flat(prepositions(evidence))
    assert "0.25 (0.25 to 0.25) (left, right)" in text and "Both get less than nouns." in text
    if obeyed:
        assert (rate.value, offset.value) == (1.0, 30.0)
        assert "So the preposition decides where things are put." in text
    else:
        assert 0.2 < rate.value < 0.8
        assert "does not decide it" in text


def test_what_shows_a_thing_best_is_named(tmp_path: Path) -> None:
    shown = {"pixel": 0.2, "box": 0.7, "contour": 0.5}
    random = np.random.default_rng(5)

    def values(unit: Unit) -> list[Row]:
        rows = [row("judge_all", 1.0)]
        for region in REGIONS:
            for direction in ("to", "from"):
                for phase in PHASES:
                    for what in ("ap", "iou"):
                        part = f"{region}/{direction}/{phase}/{what}"
                        value = shown[region] + 0.01 * random.normal()
                        rows.append(row("region_overlap", value, component=f"thing/{part}"))
                        rows.append(row("region_overlap", value - 0.1, component=f"backdrop/{part}"))
        for part, level in (("rho", 0.6), ("chance", 0.3), ("p", 0.01)):
            rows += [row("received_contrast", level, component=part, step=step) for step in range(20)]
            rows.append(row("received_contrast", level, component=part))
        for group, ratio in (("contrast", 1.5), ("thing", 0.8), ("contrast within things", 1.0)):
            rows += [
                row("received_ratio", ratio + 0.001 * random.normal(), component=f"{group}/{phase}")
                for phase in PHASES
            ]
        return rows

    study = made_up(tmp_path, "self-attention", values)
    text = flat(self_attention_regions(Evidence(study), pictures=False))
    assert "the box (average precision 0.7" in text
    assert re.search(r"A box against a pixel: 0\.5", text)
    text = flat(received_attention(Evidence(study), pictures=False))
    assert text.count("more than chance.") == 3
    assert "patches on a thing, against the backdrop, late steps: 0.8" in text and "that is less." in text


def test_curves_have_the_mean_of_runs_and_a_band_by_prompt() -> None:
    curves = {(prompt, seed): np.array([prompt, 10.0 + seed]) for prompt in range(6) for seed in range(3)}
    middle, low, high = banded(curves)
    assert middle == pytest.approx([2.5, 11.0])
    assert low[0] < 2.5 < high[0]
    # What varies between seeds alone is the same in every prompt.
    assert low[1] == high[1] == pytest.approx(11.0)


def test_differences_are_within_prompt_and_seed() -> None:
    first = {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 5.0}
    second = {(0, 0): 2.0, (1, 0): 6.0, (2, 0): 50.0}
    assert difference_of(first, second).value == 1.0
    with pytest.raises(InputError, match="no run"):
        mean_of({})


def test_every_finding_has_a_plan_and_a_page() -> None:
    for finding in FINDINGS.values():
        assert finding.plan in shipped()
        assert callable(finding.page)
    with pytest.raises(InputError, match=r"there is no finding 'preposition'.*prepositions"):
        find_finding("preposition")


def test_figures_are_brought_under_the_limit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1500, 3), np.uint8)
    assert len(small(Image.fromarray(noise))) <= LARGEST
    flat = Image.new("RGB", (1500, 900), (250, 250, 250))
    assert Image.open(__import__("io").BytesIO(small(flat))).size == (1500, 900)


@pytest.mark.parametrize(
    ("given", "said"),
    [(None, "–"), (float("nan"), "–"), (-0.5, "−0.5"), (float("inf"), "∞"), (1234.5, "1.23e+03")],
)
def test_numbers_are_written_for_readers(given: Any, said: str) -> None:
    assert number(given) == said


def test_words_of_statistics() -> None:
    assert interval(1, 0.5, float("inf")) == "1 (0.5 to ∞)"
    assert (probability(1e-9), probability(0.04), share(0.256)) == ("p < 0.001", "p = 0.04", "26%")


def test_a_page_is_markdown_with_its_figures_named(tmp_path: Path) -> None:
    page = Page("name", "Title")
    page.say("One", "two.")
    page.table(("a", "b"), [["x|y", "z"]])
    page.figure("shown", "what it shows", lambda theme: Image.new("RGB", (40, 40), (9, 9, 9)))
    files = page.write(tmp_path)
    assert files[0].read_text(encoding="utf-8") == (
        "# Title\n\nOne two.\n\n| a | b |\n|---|---|\n| x\\|y | z |\n\n"
        "![what it shows](images/name-shown.png)\n\n[The same on dark](images/name-shown-dark.png)\n"
    )
    assert [file.name for file in files[1:]] == ["name-shown.png", "name-shown-dark.png"]


def test_the_command_lists_plans_and_refuses_findings_that_there_are_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cli = CommandLine(capsys)
    rows = {row["name"]: row for row in cli("study", "plans", "--json").json["plans"]}
    assert set(rows) == set(shipped())
    assert rows["self-attention"]["findings"] == ["self-attention-regions", "received-attention"]
    assert rows["prepositions"]["runs"] == 72
    assert cli("study", "run", "prepositions", "--dry-run", "--json").json["runs"] == 72
    assert "there is no finding 'colours'" in cli.refuses("study", "reproduce", "colours", "--out", tmp_path)
    assert "there is no plan 'colours'" in cli.refuses("study", "run", "colours", "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_by_seed_alone_prompts_and_nouns_are_taken_out() -> None:
    """Prompts that differ in both times the same way make a relation that no two runs of one prompt have."""
    one = [Event(f"{p}/{s}", "a", 10.0 * p + s, False, str(p)) for p in range(3) for s in range(3)]
    other = [Event(f"{p}/{s}", "a", 10.0 * p - s, False, str(p)) for p in range(3) for s in range(3)]
    lost = Event("0/0", "a", 19.0, True, "0")
    left = within([lost, *one[1:]], other)
    # Of the first prompt two runs are left, one of which never came.
    assert [event.time for event in left[0]] == [-0.5, 0.5, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0]
    assert [event.time for event in left[1]] == [0.5, -0.5, 1.0, 0.0, -1.0, 1.0, 0.0, -1.0]
    alone = [Event("9/0", "a", 3.0, False, "9")]
    assert within(alone, alone) == ([], [])
