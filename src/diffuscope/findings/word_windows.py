"""Finding: in which steps taking a word away counts, by kind of word. Rows: `benchmarks/cause.py windows`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffuscope.analysis.cause.windows import LITTLE, Windows
from diffuscope.figures.cause_windows import window_chart, windows_chart
from diffuscope.findings.faithful import KINDS
from diffuscope.findings.page import Page

Row = Mapping[str, Any]
LEAST = 0.5
"""Mean delta-E of the whole run under which a word's windows say nothing."""
EDITS = {"silenced": "its tokens silenced", "left out": "left out of the prompt"}


def pooled(rows: Sequence[Row], kind: str, edit: str) -> Windows | None:
    """All prompts of a kind as one: effects as shares of each prompt's whole, prompts in place of seeds."""
    mine = [
        Windows.of_json(row["windows"])
        for row in rows
        if row["kind"] == kind and row["edit"] == edit and row["windows"]["effects"][0][0] >= LEAST
    ]
    if not mine:
        return None
    shares = tuple(tuple(value / each.effects[0][0] for value in each.effects[0]) for each in mine)
    return Windows(EDITS[edit], KINDS[kind], mine[0].steps, mine[0].cuts, tuple(range(len(mine))), shares)


def windows(rows: Sequence[Row], about: Mapping[str, Any], command: str) -> Page:
    """The page of the rows: one a prompt and edit, as `benchmarks/cause.py windows` writes them."""
    page = Page("windows", "In which steps does a word count?")
    found = {
        (kind, edit): each
        for edit in EDITS
        for kind in KINDS
        if (each := pooled(rows, kind, edit)) is not None
    }
    prompts, cuts = len({row["prompt"] for row in rows}), next(iter(found.values())).cuts
    page.short(*(_short(found, edit) for edit in EDITS))
    page.say(
        f"{prompts} held-out prompts, one word and one seed each, {about['steps']} steps. The word's tokens are "
        "silenced, "
        "or the word is left out of the prompt, in every window between the cuts "
        f"{', '.join(map(str, cuts))}; the effect is the mean delta-E to the "
        "unedited picture, as a share of what the same does at all steps. The *recommended window* is the "
        "shortest that "
        "reaches half of the whole, with the range that prompts drawn again recommend "
        "([windows](../cause.md#windows)). "
        f"Words whose whole effect is below {LEAST:g} delta-E are left out."
    )
    page.head("Recommended windows")
    page.table(
        (
            "word",
            "what is done",
            "n",
            "recommended",
            "share there",
            "starts",
            "stops",
            "resamples that agree",
            "less than a tenth from",
        ),
        [_line(kind, edit, found.get((kind, edit))) for edit in EDITS for kind in KINDS],
    )
    page.figure(
        "recommended",
        "Recommended intervention windows by kind of word, silenced or left out of the prompt",
        lambda theme: windows_chart(
            "When does taking a word away count?",
            f"{prompts} prompts, {about['steps']} steps; step 0 is the noisiest",
            {f"{KINDS[kind]}, {edit}": each for (kind, edit), each in found.items()},
            notes="Band: the shortest window with half of the whole effect, and its share. Whiskers: 95% of starts "
            "(above) and stops (below) over prompts drawn again.",
            theme=theme,
        ),
    )
    for edit in EDITS:
        if ("noun", edit) in found:
            each = found["noun", edit]
            page.figure(
                f"noun-{edit.replace(' ', '-')}",
                f"Share of the whole effect in every window, nouns {edit}",
                lambda theme, each=each: window_chart(each, theme=theme),  # type: ignore[misc]
            )
    page.head("What can be said")
    page.points(_said(kind, edit, each) for (kind, edit), each in found.items())
    page.head("How far this goes")
    page.points(
        [
            f"{about['steps']} steps in {len(cuts) - 1} parts: a window is known to a part.",
            "An effect is how much the picture changes, not whether it changes as wished.",
            "One small model of a drawn world.",
        ]
    )
    page.head("How it was made")
    page.parts.append(f"```sh\n{command}\n```")
    page.say(
        f"draws what is missing of the table and writes this page. Model {about['model']} ({about['files']}), "
        "diffuscope "
        f"{about['diffuscope']}. Every row: [windows.jsonl](data/windows.jsonl)."
    )
    return page


def _line(kind: str, edit: str, each: Windows | None) -> list[str]:
    best = None if each is None else each.recommended
    if each is None or best is None:
        return [KINDS[kind], edit, "0", *("–",) * 6]
    return [
        KINDS[kind],
        edit,
        str(len(each.seeds)),
        f"{best.start}:{best.stop}",
        f"{best.share:.0%}",
        f"{best.starts[0]} to {best.starts[1]}",
        f"{best.stops[0]} to {best.stops[1]}",
        f"{best.agreement:.0%}",
        "–" if each.matters_until is None else f"step {each.matters_until}",
    ]


def _short(found: Mapping[tuple[str, str], Windows], edit: str) -> str:
    parts = [
        f"{kind} {best.start}:{best.stop}"
        for (kind, how), each in found.items()
        if how == edit and (best := each.recommended) is not None
    ]
    return f"Half of what it does when {EDITS[edit]}: {', '.join(parts)}." if parts else ""


def _said(kind: str, edit: str, each: Windows) -> str:
    best, until = each.recommended, each.matters_until
    if best is None:
        return f"{KINDS[kind]}, {edit}: no effect."
    late = (
        f"begun at step {until} or later it does less than {LITTLE:.0%}"
        if until is not None
        else f"it matters to the end (begun at step {each.cuts[-2]}: {each.share(each.cuts[-2], each.steps):.0%})"
    )
    return f"{KINDS[kind]}, {edit}: half of the effect comes from {best}; {late}."
