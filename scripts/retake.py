"""Takes again what the repository shows of the drawn world's model, for when its weights have changed.

    python scripts/retake.py                    everything that was not taken for these weights yet
    python scripts/retake.py --list             what there is, and what is done
    python scripts/retake.py --only steering    these alone, again

Works from what others rest on to what rests on it: presets before findings, findings before explanations. Outputs that
have no place of their own go to a folder of `build/retake` for each set of weights, as do logs and what was done; what
was stopped goes on where its command does. What no program can write is named at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffuscope.findings.catalogue import FINDINGS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "retake"
WEIGHTS = ROOT / "src/diffuscope/scenes/model/unet/diffusion_pytorch_model.safetensors"
CLI = ("-m", "diffuscope")


@dataclass(frozen=True)
class Step:
    """Commands of Python, one after the other; `forget` is removed before they run for the first time for some weights:
    tables that would else be gone on with."""

    what: str
    commands: tuple[tuple[str, ...], ...]
    forget: tuple[str, ...] = ()


def steps(folder: Path) -> dict[str, Step]:
    """All of them, by name, in order; what has no place of its own goes to `folder`."""

    def out(name: str) -> str:
        return str(folder / name)

    maps = (*CLI, "evaluate", "maps", "--prompts", "100", "--seeds", "3", "--scores", out("scores"))
    taken = {
        "evaluate": Step(
            "prompt faithfulness: benchmarks/RESULTS.md, training/REPORT.md, the model card",
            ((*CLI, "evaluate", "--prompts", "200", "--seeds", "2", "--out", out("evaluate")),),
        ),
        "maps": Step(
            "map accuracy and the maps' preset: docs/map-accuracy.md, src/diffuscope/maps/presets",
            (
                (
                    *maps,
                    *("--figure", out("maps.png"), "--markdown", out("maps.md")),
                    *("--preset-out", "src/diffuscope/maps/presets/scenes.json"),
                ),
            ),
        ),
        "objects": Step(
            "the chain of object annotation and how good it is: analysis/objects/chain.py, docs/objects.md",
            (
                ("benchmarks/objects.py", "--parts", "settle", "--json", out("settled.json")),
                (
                    *(*CLI, "evaluate", "objects", "--prompts", "300", "--seeds", "1"),
                    *("--table", out("objects.jsonl"), "--figure", out("objects.png")),
                ),
            ),
        ),
        "steering": Step(
            "docs/findings/steering.md, edits/presets.py",
            ((*CLI, "evaluate", "steer", "--steps", "10", "--page", "docs/findings"),),
            forget=("docs/findings/data/steering.jsonl",),
        ),
        "faithfulness": Step(
            "docs/findings/faithfulness.md, docs/what-attention-is-good-for.md",
            (("benchmarks/cause.py", "faithfulness", "--prompts", "100", "--steps", "10"),),
            forget=("docs/findings/data/faithfulness.jsonl",),
        ),
        "carried": Step(
            "docs/findings/where-a-part-is-carried.md",
            (("benchmarks/cause.py", "carried", "--seeds", "4", "--steps", "10"),),
            forget=("docs/findings/data/where-a-part-is-carried.jsonl",),
        ),
    }
    for name in FINDINGS:
        command = ("study", "reproduce", name, "--out", "docs/findings", "--studies", out("studies"))
        taken[name] = Step(f"docs/findings/{name}.md", ((*CLI, *command),))
    taken["reference"] = Step(
        "what is usual, for explanations: src/diffuscope/explain/reference.json",
        (("scripts/explanation_reference.py", "--folder", out("reference")),),
    )
    taken["explanations"] = Step(
        "the twenty pages of docs/explanations, but for their readers' notes",
        (("scripts/explanation_pages.py", "--folder", out("explanations")),),
    )
    return taken


BY_HAND = (
    "docs/explanations: prompts and seeds that still show what titles say, and readers' notes",
    "analysis/objects/chain.py, edits/presets.py: the chain and the way of steering that won",
    "ui/public/example: python scripts/page.py --example RUN, and ui/src/views/atlas/find/tours.json looked at",
    "README.md, docs/images, figures quoted in docs/*.md, benchmarks/RESULTS.md, training/REPORT.md, training/cards",
)


def main() -> int:
    folder = OUT / hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]
    every = steps(folder)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="say what there is and what is done")
    parser.add_argument("--only", nargs="+", choices=list(every), metavar="NAME", help="these, done or not")
    given = parser.parse_args()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "done.json"
    done: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if given.list:
        for name, step in every.items():
            print(f"{'done' if name in done else 'open':5} {name:26} {step.what}")
        return 0
    failed = []
    for name in given.only or [name for name in every if name not in done]:
        print(f"{name}: {every[name].what}", flush=True)
        seconds = run(every[name], folder / f"{name}.log", again=name in done)
        if seconds is None:
            failed.append(name)
            print(f"{name}: failed, see {(folder / name).relative_to(ROOT)}.log", file=sys.stderr, flush=True)
        else:
            print(f"{name}: {seconds / 60:.1f} min", flush=True)
            done[name] = round(seconds)
            file.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    print("\nBy hand:\n" + "\n".join(f"- {line}" for line in BY_HAND))
    return 1 if failed else 0


def run(step: Step, log: Path, *, again: bool) -> float | None:
    """Seconds that a step took, or None where a command failed; what its commands print goes to `log`."""
    # A log says that the step was begun with these weights: its tables are theirs, and gone on with.
    if again or not log.exists():
        for path in step.forget:
            (ROOT / path).unlink(missing_ok=True)
    started = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        for command in step.commands:
            ended = subprocess.run(
                [sys.executable, *command], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env=environment()
            )
            if ended.returncode:
                return None
    return time.monotonic() - started


def environment() -> Mapping[str, str]:
    """This checkout's package comes first, whatever is installed."""
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


if __name__ == "__main__":
    sys.exit(main())
