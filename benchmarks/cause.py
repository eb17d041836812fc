"""What words, heads and steps do, by edits: tables, and the pages of docs/findings that are written from them.

    python benchmarks/cause.py faithfulness [--prompts 100] [--steps 10] [--page docs/findings]
    python benchmarks/cause.py windows [--prompts 30] [--steps 10] [--page docs/findings]
    python benchmarks/cause.py carried [--seeds 4] [--steps 10] [--page docs/findings]

`faithfulness`: held-out prompts that name a place, one seed and one word each; kinds of words in turn. `windows`: the
same words, silenced or left out in every window of steps. `carried`: a ring is a circle with a hole; heads are ranked
by what taking each out changes in the hole, and the ring's head outputs are put into the circle's run, by sites, heads
and steps.

Each keeps a table, a line of JSON each, as it goes (`--table`; by default under the page's `data`), goes on from it
when it was stopped, and writes its page when all is there. `--seconds` stops it in time; `--page-only` writes the page
of a table as far as it is. Steering has a command of its own, `diffuscope evaluate steer`, and studies have theirs,
`diffuscope study reproduce`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import diffuscope
from diffuscope import Lens, Run, scenes
from diffuscope.analysis.cause.importance import HeadRanking
from diffuscope.edits import Reprompt, Silence
from diffuscope.engine.quiet import quiet_libraries
from diffuscope.errors import InputError
from diffuscope.findings.carried import grid_of, where_a_part_is_carried
from diffuscope.findings.faithful import faithfulness as faithfulness_page
from diffuscope.findings.faithful import trust
from diffuscope.findings.page import Page
from diffuscope.findings.word_windows import windows as windows_page
from diffuscope.plain_json import finite
from diffuscope.scenes.vocabulary import PLURALS
from diffuscope.studies.conditions import disc

KINDS = ("noun", "colour", "place", "phrase", "function")
RING, CIRCLE = "a big red ring in the snow", "a big red circle in the snow"
PARTS = 5
GOOD_FOR = "what-attention-is-good-for.md"
MARKS = "<!-- measured -->", "<!-- end -->"

Row = dict[str, Any]
Draw = Callable[[Lens], Row]


class Table:
    """Rows by a key, in a file of a line of JSON each; the first line says what drew them."""

    def __init__(self, path: Path, about: Row | None) -> None:
        self.path, self.rows = path, {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        read = []
        for line in lines:
            try:
                read.append(json.loads(line))
            except ValueError:  # The line that was being written when it was stopped.
                break
        self.about: Row = read[0] if read else dict(about or {})
        if not read and about is None:
            raise InputError(f"{path} holds no table yet; draw it first")
        if about is not None and read and self.about != about:
            raise InputError(f"{path} was drawn otherwise ({self.about}); name another table")
        self.rows = {row.pop("key"): row for row in read[1:]}
        if about is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = [self.about, *({"key": key, **row} for key, row in self.rows.items())]
            path.write_text("".join(json.dumps(row) + "\n" for row in whole), encoding="utf-8")

    def add(self, key: str, row: Row) -> None:
        self.rows[key] = json.loads(json.dumps(finite(row)))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **self.rows[key]}) + "\n")


def about(lens: Lens, steps: int) -> Row:
    """Which model draws, and how."""
    lines = sorted(f"{file.path} {file.sha256}" for file in lens.loaded.files)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return {
        "diffuscope": diffuscope.__version__,
        "model": lens.loaded.id,
        "files": digest,
        "steps": steps,
    }


FUNCTION = ("a", "an", "the", "in", "on")


def words(prompts: int) -> Iterator[tuple[int, str, str, str, scenes.Description]]:
    """(index, kind, word, caption, what it means) of held-out prompts, kinds in turn."""
    for index, prompt in enumerate(scenes.standard_prompts(prompts, places=True)):
        description = prompt.description
        thing, kind = description.things[0], KINDS[index % len(KINDS)]
        if kind in ("colour", "phrase") and thing.colour is None:
            kind = "noun"
        caption, noun = description.caption(), PLURALS[thing.noun] if thing.plural else thing.noun
        word = {
            "noun": noun,
            "colour": str(thing.colour),
            "place": str(description.place),
            "phrase": f"{thing.colour} {noun}",
            "function": next(each for each in caption.split() if each in FUNCTION),
        }[kind]
        yield index, kind, word, caption, description


def first_of(labels: list[str], texts: list[str], word: str) -> str:
    """A word as the prompt's labels name it: the first of several."""
    if " " in word or word in labels:
        return word
    return labels[texts.index(word)]


def faithfulness(given: argparse.Namespace) -> dict[str, Draw]:
    """One word of each prompt put to the test."""

    def one(lens: Lens, *, index: int, kind: str, word: str, text: str, told: scenes.Description) -> Row:
        with tempfile.TemporaryDirectory() as out:
            run = lens.record(text, seed=index, keep="maps", previews=False, out=out, steps=given.steps)
            named = first_of([each.label for each in run.words], [each.text for each in run.words], word)
            found = lens.faithfulness(run, named, shares=(0.25, 0.5), orders=2, seed=index)
            right = scenes.score(scenes.read(run.image), told).all
            return {"kind": kind, "prompt": text, "picture": index, "right": right, **found.to_json()}

    return {
        str(index): partial(one, index=index, kind=kind, word=word, text=text, told=told)
        for index, kind, word, text, told in words(given.prompts)
    }


def windows(given: argparse.Namespace) -> dict[str, Draw]:
    """One word of each prompt taken away in every window, in two ways."""

    def one(lens: Lens, *, index: int, kind: str, word: str, text: str, how: str) -> Row:
        edit: Any = Reprompt(" ".join(re.sub(rf"\b{re.escape(word)}\b", " ", text, count=1).split()))
        if how == "silenced":
            with tempfile.TemporaryDirectory() as out:
                run = lens.record(text, seed=index, keep="maps", previews=False, out=out, steps=1)
                edit = Silence(
                    first_of([each.label for each in run.words], [each.text for each in run.words], word)
                )
        found = lens.windows(text, edit, parts=min(PARTS, given.steps), seeds=[index], steps=given.steps)
        return {"kind": kind, "prompt": text, "word": word, "edit": how, "windows": found.to_json()}

    return {
        f"{index} {how}": partial(one, index=index, kind=kind, word=word, text=text, how=how)
        for index, kind, word, text, _ in words(given.prompts)
        for how in ("silenced", "left out")
    }


def carried(given: argparse.Namespace) -> dict[str, Draw]:
    """The hole of a ring: heads taken out of the ring, and the ring's activations put into the circle."""

    def hole(run: Run) -> NDArray[np.bool_]:
        ring = scenes.read(run.image).find("ring", "red")
        return np.zeros((scenes.SIDE, scenes.SIDE), bool) if ring is None else disc(ring, 0.45)

    def ranking(lens: Lens) -> Row:
        found = lens.heads(RING, region=hole, seeds=2 * given.seeds, per_round=4, top=5, steps=given.steps)
        return dict(found.to_json())

    def grid(lens: Lens, *, by: str, parts: int) -> Row:
        seeds = [seed for seed in range(50) if _both_right(lens, seed, given.steps)][: given.seeds]
        found = lens.patching(
            CIRCLE, RING, by=by, parts=parts, seeds=seeds, steps=given.steps, controls=by == "sites"
        )
        return dict(found.to_json())

    return {
        "sites": partial(grid, by="sites", parts=min(PARTS, given.steps)),
        "ranking": ranking,
        "heads": partial(grid, by="heads", parts=2),
    }


def _both_right(lens: Lens, seed: int, steps: int) -> bool:
    """Whether the judge finds both unedited pictures of a seed right."""
    for prompt in (RING, CIRCLE):
        with tempfile.TemporaryDirectory() as out:
            run = lens.record(prompt, seed=seed, keep="maps", previews=False, out=out, steps=steps)
            told = scenes.parse(prompt)
            if told is None or not scenes.score(scenes.read(run.image), told).all:
                return False
    return True


def page_of(what: str, table: Table, command: str) -> Page:
    """The page of a table, whole or not."""
    rows = list(table.rows.values())
    if what == "faithfulness":
        return faithfulness_page(rows, table.about, command)
    if what == "windows":
        return windows_page(rows, table.about, command)
    missing = [name for name in ("ranking", "sites") if name not in table.rows]
    if missing:
        raise InputError(f"the page needs all of its table; still to be drawn: {', '.join(missing)}")
    ranking = HeadRanking.of_json(table.rows["ranking"])
    heads = grid_of(table.rows["heads"]) if "heads" in table.rows else None
    return where_a_part_is_carried(ranking, grid_of(table.rows["sites"]), heads, table.about, command)


def write_good_for(folder: Path, rows: list[Row]) -> None:
    """Put the table of faithfulness into the page that says what attention is good for."""
    page = folder.parent / GOOD_FOR
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    if tail:
        page.write_text(f"{head}{MARKS[0]}\n\n{trust(rows)}\n\n{MARKS[1]}{tail}", encoding="utf-8")


WHAT = {"faithfulness": faithfulness, "windows": windows, "carried": carried}
TABLES = {"faithfulness": "faithfulness", "windows": "windows", "carried": "where-a-part-is-carried"}
PROMPTS = {"faithfulness": 100, "windows": 30, "carried": 0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--page", type=Path, default=Path("docs/findings"))
    parser.add_argument("--table", type=Path)
    parser.add_argument(
        "--seconds", type=float, help="stop drawing after so long, and write the page of what is there"
    )
    parser.add_argument("--page-only", action="store_true")
    given = parser.parse_args()
    given.prompts = PROMPTS[given.what] if given.prompts is None else given.prompts
    path = given.table or given.page / "data" / f"{TABLES[given.what]}.jsonl"
    began, lens = time.monotonic(), None
    if not given.page_only:
        quiet_libraries()
        lens = Lens.load("scenes")
    table = Table(path, None if lens is None else about(lens, given.steps))
    asked = {"faithfulness": ["prompts"], "windows": ["prompts"], "carried": ["seeds"]}[given.what]
    for key, draw in WHAT[given.what](given).items():
        if lens is None or key in table.rows:
            continue
        if given.seconds is not None and time.monotonic() - began > given.seconds:
            print(f"stopped after {given.seconds:g} s; the same command goes on", flush=True)
            break
        table.add(key, draw(lens))
        print(f"{len(table.rows)} {key} {time.monotonic() - began:.0f} s", flush=True)
    options = " ".join(f"--{name} {getattr(given, name)}" for name in [*asked, "steps"])
    for file in page_of(given.what, table, f"python benchmarks/cause.py {given.what} {options}").write(
        given.page
    ):
        print(f"wrote {file}")
    if given.what == "faithfulness" and (given.page.parent / GOOD_FOR).exists():
        write_good_for(given.page, list(table.rows.values()))


if __name__ == "__main__":
    main()
