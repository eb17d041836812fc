"""Finding: where a part is carried, by heads, sites and steps. Rows: `benchmarks/cause.py carried`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffuscope.analysis.cause.importance import HeadRanking
from diffuscope.analysis.cause.patching import PatchingGrid
from diffuscope.figures.cause_grid import patching_chart
from diffuscope.figures.cause_heads import head_effects
from diffuscope.findings.page import Page, number

LISTED = 10


def where_a_part_is_carried(
    ranking: HeadRanking,
    sites: PatchingGrid,
    heads: PatchingGrid | None,
    about: Mapping[str, Any],
    command: str,
) -> Page:
    """The page.

    Args:
        ranking: heads by what taking them out changes in the ring's hole.
        sites, heads: the ring's head outputs put into the circle's run, by site and by head; heads may be undrawn.
        about: model and steps.
        command: that drew them.
    """
    page = Page("where-a-part-is-carried", "Where is a part carried: which sites, heads and steps?")
    first, second = sites.ranked()[:2]
    page.short(
        f"Of {len(sites.rows)} cross-attention sites `{first[1]}` at steps {first[2]} carries most of the hole "
        f"({first[0]:.2f} of the way from the circle's picture to the ring's; next: `{second[1]}`, steps "
        f"{second[2]}, "
        f"{second[0]:.2f}); all of them at all steps carry {sites.whole:.2f}."
    )
    page.say(
        "Circle and ring differ by one part, the hole. Activation patching (causal tracing; Meng et al. 2022) "
        "puts the head outputs of "
        f'"{sites.donor}" into the run of "{sites.run}" from the same noise, part by part, and asks how far '
        f"the picture goes: 0 not at all, 1 to the other's picture. {len(sites.seeds)} seeds, {about['steps']} "
        "steps; "
        + (
            "a random change of equal norm stands beside each cell "
            if sites.control
            else "no control was drawn "
        )
        + "([patching](../cause.md#activation-patching))."
    )
    page.head("Sites and steps")
    _grid(page, "sites", sites, "What each site carries, in which steps")
    if heads is not None:
        page.head("Heads and steps")
        _grid(page, "heads", heads, "What each head carries, in which steps")
        most = heads.ranked()[:5]
        page.points(f"`{row}`, steps {column}: {value:.2f}" for value, row, column in most)
    page.head("Heads, by taking them out")
    settled = "are settled" if ranking.settled else "are **not settled**"
    page.say(
        f'Each of {len(ranking.heads)} heads taken out of "{ranking.prompt}" by itself, and the change in the hole '
        f"measured (mean delta-E): {len(ranking.seeds)} seeds, {ranking.drawn} pictures of {ranking.full} that a "
        "sweep "
        f"without early stop draws. The best {ranking.top} {settled} at an error of {ranking.error:g}."
    )
    page.table(
        ("rank", "site", "head", "change in the hole", "95%", "outside", "other heads of the site", "seeds"),
        [
            [
                str(at + 1),
                each.site,
                str(each.head),
                number(each.effect),
                f"{number(each.low)} to {number(each.high)}",
                number(each.outside),
                number(each.control),
                str(each.seeds),
            ]
            for at, each in enumerate(ranking.heads[:LISTED])
        ],
    )
    page.figure(
        "atlas",
        "Every cross-attention head, by what taking it out changes in the hole",
        lambda theme: head_effects(ranking),
    )
    page.head("What can be said")
    page.points(
        [_sites(sites), _late(sites), *([] if heads is None else [_heads(heads), _agree(heads, ranking)])]
    )
    page.head("How it was made")
    page.parts.append(f"```sh\n{command}\n```")
    page.say(
        f"draws what is missing of the table and writes this page. Model {about['model']} ({about['files']}), "
        "diffuscope "
        f"{about['diffuscope']}. Every number: [where-a-part-is-carried.jsonl](data/where-a-part-is-carried.jsonl). "
        "Success rates over seeds: [Patch Explorer's question](patch-explorer.md)."
    )
    return page


def grid_of(given: Mapping[str, Any]) -> PatchingGrid:
    """What `PatchingGrid.to_json` made these values of."""
    tables = {
        name: tuple(tuple(row) for row in given[name]) for name in ("carried", "low", "high", "control")
    }
    listed = {name: tuple(given[name]) for name in ("rows", "columns", "seeds")}
    return PatchingGrid(**{**given, **tables, **listed})


def _grid(page: Page, name: str, grid: PatchingGrid, said: str) -> None:
    page.figure(name, said, lambda theme: patching_chart(grid, title=said, theme=theme))
    page.table(
        ("", *(f"steps {column}" for column in grid.columns)),
        [
            [
                row,
                *(
                    f"{grid.carried[at][column]:z.2f}"
                    + (
                        f" ({grid.low[at][column]:z.2f} to {grid.high[at][column]:z.2f})"
                        if grid.carried[at][column] >= 0.05
                        else ""
                    )
                    for column in range(len(grid.columns))
                ),
            ]
            for at, row in enumerate(grid.rows)
        ],
    )


def _sites(grid: PatchingGrid) -> str:
    carrying = sorted({row for value, row, _ in grid.ranked() if value >= 0.1})
    named = ", ".join(f"`{each}`" for each in carrying) or "none"
    return f"Sites that carry a tenth of the way or more in some window: {named}, of {len(grid.rows)}."


def _late(grid: PatchingGrid) -> str:
    sums = [sum(max(row[column], 0.0) for row in grid.carried) for column in range(len(grid.columns))]
    best = max(range(len(sums)), key=lambda at: sums[at])
    values = ", ".join(f"{name} {value:.2f}" for name, value in zip(grid.columns, sums, strict=True))
    return f"Summed over sites, by steps: {values}; most at steps {grid.columns[best]}."


def _heads(grid: PatchingGrid) -> str:
    carrying = [f"`{row}` at {column} ({value:.2f})" for value, row, column in grid.ranked() if value >= 0.1]
    return "Single heads that carry a tenth or more: " + (", ".join(carrying) or "none") + "."


def _agree(grid: PatchingGrid, ranking: HeadRanking) -> str:
    carried: dict[str, float] = {}
    for value, row, _ in grid.ranked():
        carried[row] = max(carried.get(row, 0.0), value)
    best = sorted(carried, key=lambda row: -carried[row])[: ranking.top]
    out = [f"{each.site} head {each.head}" for each in ranking.heads[: ranking.top]]
    both = [row for row in out if row in best]
    return (
        f"Of the {ranking.top} heads that matter most when taken out, {len(both)} are among the {ranking.top} that "
        "carry "
        "most when put in: what is needed and what suffices are two questions."
    )
