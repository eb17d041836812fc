"""Makes src/diffuscope/explain/reference.json: what is usual in runs of the shipped model.

    python scripts/explanation_reference.py [--runs N] [--folder DIR] [--tries N]

Draws prompts of the drawn world, records them with the model's own settings, and takes the distribution of each
statistic over the words that the judge finds true of the picture: by role, by stretch of the noise schedule, by site.
Then it tries the remedies that a diagnosis names on words that did not come true, and counts how often each helps;
another seed alone is the control. Runs that are in the folder already are not drawn again.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import diffuscope as ds
from diffuscope.explain.evidence import Evidence
from diffuscope.explain.reference import FILE, WEIGHTS, Usual
from diffuscope.explain.remedies import Remedy, remedies
from diffuscope.explain.statistics import computed
from diffuscope.scenes import standard_prompts
from diffuscope.selection import Selection

HERE = Path(__file__).resolve().parent.parent / "src/diffuscope/explain" / FILE
STRETCHES = 5
PROMPTS_SEED = 7_211
FIRST_SEED = 500
"""Seeds of the reference runs count up from here."""

Values = dict[str, dict[str, dict[str, list[float]]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=64, help="reference runs (64)")
    parser.add_argument("--folder", type=Path, default=Path("reference-runs"), help="where they are kept")
    parser.add_argument(
        "--tries",
        type=int,
        default=24,
        help="words that did not come true to try remedies on (24); 0 keeps the counts of the file",
    )
    given = parser.parse_args()
    lens = ds.Lens.load("scenes", device="cpu")
    runs = recorded(lens, given.folder, given.runs)
    made = collected(runs)
    if given.tries:
        made["tried"] = tried(lens, runs, given.folder / "tries", given.tries)
    else:
        made["tried"] = json.loads(HERE.read_text(encoding="utf-8")).get("tried", {})
    HERE.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {HERE}")


def recorded(lens: Any, folder: Path, number: int) -> list[ds.Run]:
    """The reference runs, in the order of their seeds."""
    prompts = [
        *standard_prompts(number // 2, split="train", seed=PROMPTS_SEED),
        *standard_prompts(number - number // 2, split="held-out", seed=PROMPTS_SEED),
    ]
    there = {}
    for path in folder.glob("*/manifest.json"):
        run = ds.open(path.parent)
        there[run.manifest.sampling.seed] = run
    runs = []
    for at, prompt in enumerate(prompts):
        seed = FIRST_SEED + at
        if seed not in there or not there[seed].complete:
            there[seed] = lens.record(prompt.text, seed=seed, keep="maps", previews=False, out=folder)
            print(f"{at + 1}/{number} {prompt.text}", flush=True)
        runs.append(there[seed])
    return runs


def collected(runs: list[ds.Run]) -> dict[str, Any]:
    """Statistics of the words that came true, as the file holds them."""
    levels = [step.log_snr for step in runs[0].steps]
    inner = np.quantile(
        [level for level in levels if level is not None], np.linspace(0, 1, STRETCHES + 1)[1:-1]
    )
    edges = [-1e9, *(round(float(each), 3) for each in inner), 1e9]
    values: Values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for run in runs:
        evidence = Evidence(run)
        stretches = _stretches(run, edges)
        note(values, evidence, "words_mass", "run", "all", Selection())
        for label in evidence.labels:
            role = evidence.role(label)
            if evidence.world is None or evidence.world.holds(label) is not True or role == "other":
                continue
            note(values, evidence, "mass", role, "all", Selection(word=label))
            note(values, evidence, "share", role, "all", Selection(word=label))
            note(values, evidence, "lift", role, "all", Selection(word=label))
            for name, steps in stretches.items():
                note(values, evidence, "mass", role, name, Selection(steps.steps, word=label))
            for site in evidence.sites:
                note(values, evidence, "mass", role, site, Selection(sites=site, word=label))
        for phrase in evidence.objects:
            note(values, evidence, "lift", "phrase", "all", Selection(word=phrase.label))
    manifest = runs[0].manifest
    hashes = {each.path: each.sha256 for each in manifest.model.files}
    return {
        "provenance": {
            "script": "scripts/explanation_reference.py",
            "runs": len(runs),
            "prompts": f"standard_prompts, half of each split, seed {PROMPTS_SEED}",
            "seeds": [FIRST_SEED, FIRST_SEED + len(runs) - 1],
            "values": "of words that the judge finds true of the finished picture",
            "model": manifest.model.id,
            "weights": hashes[WEIGHTS],
            "scheduler": manifest.sampling.scheduler.name,
            "steps": manifest.sampling.steps,
            "guidance_scale": manifest.sampling.guidance_scale,
            "software": {name: manifest.software[name] for name in ("diffuscope", "torch", "diffusers")},
            "machine": platform.machine(),
        },
        "edges": edges,
        "usual": {
            statistic: {
                role: {where: Usual.of(found).to_json() for where, found in places.items()}
                for role, places in roles.items()
            }
            for statistic, roles in values.items()
        },
    }


def _stretches(run: ds.Run, edges: list[float]) -> dict[str, Selection]:
    found = {}
    for at in range(STRETCHES):
        steps = [
            step.index
            for step in run.steps
            if step.log_snr is not None and edges[at] <= step.log_snr < edges[at + 1]
        ]
        found[f"stretch {at}"] = Selection.of(steps=steps)
    return found


def note(values: Values, evidence: Evidence, statistic: str, role: str, where: str, at: Selection) -> None:
    """Add a value where there is one."""
    found = computed(statistic, at, None, evidence)
    if isinstance(found, float):
        values[statistic][role][where].append(found)


def tried(lens: Any, runs: list[ds.Run], folder: Path, most: int) -> dict[str, Any]:
    """How often each remedy makes a word come true that had not: role to remedy to counts."""
    counts: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    asked = 0
    for run in runs:
        evidence = Evidence(run)
        for label in failed(evidence):
            if asked >= most:
                break
            asked += 1
            role = evidence.role(label)
            for remedy in remedies(evidence, label):
                after = applied(lens, run, remedy, folder)
                helped = came_true(evidence, after, label)
                counts[role][remedy.what].append(helped)
                print(f"{run.prompt!r} {label!r} {remedy.what}: {'helped' if helped else 'no'}", flush=True)
    return {
        role: {what: {"n": len(found), "helped": sum(found)} for what, found in by.items()}
        for role, by in counts.items()
    }


def failed(evidence: Evidence) -> list[str]:
    """Words that did not come true, and are not merely lost with their noun."""
    from diffuscope.explain.collect_words import failed_words

    return [each for each in failed_words(evidence) if each not in evidence.unknown]


def applied(lens: Any, run: ds.Run, remedy: Remedy, folder: Path) -> ds.Run:
    """The run with a remedy applied."""
    if remedy.edits:
        return lens.edit(run, *remedy.edits, out=folder)  # type: ignore[no-any-return]
    sampling = run.manifest.sampling
    return lens.record(  # type: ignore[no-any-return]
        remedy.prompt or run.prompt,
        seed=remedy.seed or sampling.seed,
        keep="maps",
        previews=False,
        out=folder,
    )


def came_true(evidence: Evidence, after: ds.Run, label: str) -> bool:
    """Whether a word of the first run is true of another picture: the words of another prompt may be numbered
    otherwise, so it is looked up by its text and its noun."""
    other = Evidence(after)
    world = other.world
    if world is None:
        return False
    if after.prompt == evidence.run.prompt:
        return world.holds(label) is True
    text, phrase = evidence.texts[label], evidence.phrase_of(label)
    head = None if phrase is None else evidence.texts[phrase.head]
    for each in other.labels:
        own = other.phrase_of(each)
        if other.texts[each] == text and (
            head is None or (own is not None and other.texts[own.head] == head)
        ):
            return world.holds(each) is True
    # Another order may say a relation by its opposite: then the picture's own relation counts.
    return all(world.holds(each) is not False for each in other.labels if other.role(each) == "relation")


if __name__ == "__main__":
    main()
