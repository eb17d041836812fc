"""Makes the pages of docs/explanations again, each by the commands that stand at its head.

    python scripts/explanation_pages.py [PAGE...] [--folder DIR]

To show something else, change prompt, seed or edits in a page's head and run this. The reader's note ("Reading it") is
written by hand and stays; pages whose text has changed are named at the end, since their notes have to be read again.
Runs that are in the folder already are not drawn again.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffuscope as ds
from diffuscope import edits
from diffuscope.engine.quiet import quiet_libraries

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "explanations"
OPTIONS = {"--seed": ("seed", int), "--steps": ("steps", int), "--guidance": ("guidance_scale", float)}


@dataclass(frozen=True)
class Recipe:
    """What a page's head says: the prompt, options of `Lens.record`, edits in their JSON form, a word whose map is put
    to the test, and the head itself."""

    prompt: str
    options: dict[str, Any]
    edits: list[Any]
    tested: str | None
    head: str


def recipe(page: str) -> Recipe:
    """Read a page's head, all that stands above its first section.

    Raises:
        ValueError: it has no command that records, or one with an option that is not known here.
    """
    head = page.partition("\n## ")[0]
    found = re.search(r"^ +diffuscope record (.+)$", head, re.MULTILINE)
    if not found:
        raise ValueError("the page's head has no `diffuscope record`")
    prompt, *given = shlex.split(found[1])
    options: dict[str, Any] = {}
    for name, value in zip(given[::2], given[1::2], strict=True):
        if name == "--keep":
            options["keep"] = value
        elif name in OPTIONS:
            options[OPTIONS[name][0]] = OPTIONS[name][1](value)
        else:
            raise ValueError(f"the page records with {name}, which is not read here")
    edited = re.search(r"--edit edits.json +# (\[.*\])$", head, re.MULTILINE)
    tested = re.search(r"^ +diffuscope faithfulness runs/RUN --word (.+)$", head, re.MULTILINE)
    return Recipe(
        prompt, options, json.loads(edited[1]) if edited else [], tested[1] if tested else None, head.rstrip()
    )


def recorded(lens: ds.Lens, made: Recipe, folder: Path) -> ds.Run:
    """The page's run, drawn where it is not there yet."""
    for each in sorted(folder.glob("*/manifest.json")):
        run = ds.Run.open(each.parent)
        asked = run.manifest.sampling
        if (
            run.prompt == made.prompt
            and not run.manifest.edits
            and run.manifest.model.files == lens.loaded.files
            and asked.seed == made.options.get("seed")
            and asked.steps == made.options.get("steps", 25)
            and asked.guidance_scale == made.options.get("guidance_scale", 4.0)
        ):
            return run
    run = lens.record(made.prompt, out=folder, **made.options)
    assert isinstance(run, ds.Run)
    return run


def page_of(lens: ds.Lens, made: Recipe, note: str, folder: Path) -> str:
    """A page, with the reader's note before its evidence."""
    run = recorded(lens, made, folder)
    if made.tested:
        lens.faithfulness(run, made.tested)
    if made.edits:
        told = ds.compare(run, lens.edit(run, *edits.from_json(made.edits), out=folder)).explain()
    else:
        told = run.explain()
    _, _, sections = told.to_markdown().partition("\n\n")
    before, title, evidence = sections.partition("## Evidence")
    return f"{made.head}\n\n{before}## Reading it\n\n{note}\n\n{title}{evidence}"


def said(page: str) -> str:
    """What a page tells, without its head, note and evidence."""
    return page.partition("\n## ")[2].partition("## Reading it")[0].strip()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=Path, help="of docs/explanations (all)")
    parser.add_argument("--folder", type=Path, default=Path("explanation-runs"), help="where runs are kept")
    given = parser.parse_args(arguments)
    quiet_libraries()
    lens = ds.Lens.load("scenes", device="cpu")
    given.folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for path in given.pages or sorted(FOLDER.glob("[0-9]*.md")):
        old = path.read_text(encoding="utf-8")
        note = old.partition("## Reading it")[2].partition("## Evidence")[0].strip()
        new = page_of(lens, recipe(old), note, given.folder)
        if said(new) != said(old):
            changed.append(path.name)
        path.write_text(new, encoding="utf-8")
        print(path.name, flush=True)
    print("\nread their notes again:", ", ".join(changed) or "none")


if __name__ == "__main__":
    main()
