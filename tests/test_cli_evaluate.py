"""`diffuscope evaluate`: a small evaluation of the shipped model, as table, JSON, Markdown and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from PIL import Image

from diffuscope.scenes.evaluation import FAMILY
from diffuscope.scenes.scoring import PARTS

SMALL = ("evaluate", "--quick", "--prompts", 2, "--steps", 2)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def line(told: dict[str, Any], source: str, label: str, part: str) -> dict[str, Any]:
    (found,) = [one for one in told["shares"][source] if (one["label"], one["part"]) == (label, part)]
    return dict(found)


def test_a_quick_evaluation_says_shares_beside_their_ceilings(cli: CommandLine, tmp_path: Path) -> None:
    outcome = cli(*SMALL, "--out", tmp_path / "deep" / "folder", "--json")
    assert outcome.status == 0, outcome.err
    told = outcome.json
    assert (told["model"], told["prompts"], told["seeds"], told["steps"], told["guidance"]) == (
        "scenes",
        2,
        1,
        2,
        4.0,
    )
    # Two standard prompts, one for an unseen pair, one of the horse's family and one of the training side.
    assert [one["kind"] for one in told["each"]] == ["standard", "standard", "pairs", "family", "train"]
    assert all(bool(one["held_out_for"]) == (one["kind"] != "train") for one in told["each"])
    assert set(told["shares"]) == {"model", "autoencoder", "renderer"}
    standard = told["each"][:2]
    for part in PARTS:
        found = line(told, "model", "every prompt", part)
        assert 0 <= found["low"] <= found["rate"] <= found["high"] <= 1
    everything = line(told, "model", "every prompt", "all")
    assert (everything["n"], everything["right"]) == (2, sum(not one["wrong"] for one in standard))
    nouns = line(told, "model", "every prompt", "nouns")
    assert nouns["right"] == sum("nouns" not in one["wrong"] for one in standard)
    assert line(told, "renderer", "every prompt", "nouns")["right"] == 2, "faultless drawings are read right"
    assert told["autoencoder_psnr_db"] > 15
    assert told["seconds_a_picture"] > 0
    seen = told["horse_unicorn_pegasus_seen_as"]["renderer"]
    assert (
        sum(sum(counts.values()) for counts in seen.values()) == line(told, "renderer", FAMILY, "nouns")["n"]
    )
    folder = tmp_path / "deep" / "folder"
    assert json.loads((folder / "evaluation.json").read_text()) == told
    figures = [
        Image.open(folder / name).convert("RGB") for name in ("faithfulness.png", "faithfulness-dark.png")
    ]
    assert figures[0].size == figures[1].size
    assert figures[0].getpixel((3, 3)) == (255, 255, 255) and max(figures[1].getpixel((3, 3))) < 40  # type: ignore[arg-type]
    assert (folder / "sheet-nouns.png").exists()
    assert (folder / "sheet-wrong.png").exists() == any(one["wrong"] for one in told["each"])
    markdown = (folder / "evaluation.md").read_text()
    assert f"| bound | 2 | {100 * line(told, 'model', 'every prompt', 'bound')['rate']:.1f} %" in markdown


def test_without_json_it_prints_a_table(cli: CommandLine) -> None:
    outcome = cli(*SMALL)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert all(any(row.split()[:1] == [part] for row in lines) for part in PARTS)
    for words in (
        "after autoencoder",
        "clean renders",
        "one thing",
        "unseen pairs",
        "horse, unicorn, pegasus",
    ):
        assert words in outcome.out
    assert "5 pictures, 2 steps, guidance 4" in outcome.out


def test_the_clip_score_stands_beside_the_judge(cli: CommandLine) -> None:
    told = cli(*SMALL, "--json").json
    for source in ("model", "autoencoder", "renderer"):
        fit = told["clip_score"][source]
        assert fit["n"] == 2 and 0 <= fit["mean"] <= 100
        assert fit["low"] <= fit["mean"] <= fit["high"]


def test_what_cannot_be_evaluated_is_refused_before_anything_is_drawn(
    cli: CommandLine, tmp_path: Path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("in the way")
    assert "name another with --out" in cli.refuses(*SMALL, "--out", taken / "folder")
    assert "no model 'nonesuch'" in cli.refuses("evaluate", "--model", "nonesuch")
    assert "--prompts" in cli.refuses("evaluate", "--prompts", 0)


def test_help_explains_the_group(cli: CommandLine) -> None:
    outcome = cli("evaluate", "--help")
    assert outcome.status == 0
    assert "held-out prompts" in outcome.out
