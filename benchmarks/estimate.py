"""The size that is told before a run against the size that the run then has, for five recordings.

    python benchmarks/estimate.py [--json FILE]

Estimate and run are asked for in the same words, previews on as by default. True is every byte of the run folder.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measuring import describe_machine, machine, megabytes, parser_of, say, table, timed, write_json
from overhead import Subject, subject

from diffuscope.engine import Lens

LIMITS: dict[str, Any] = {
    "sites": "cross:up.*,self:*",
    "keep_steps": "0:10",
    "keep_heads": "0:2",
    "store": "float16",
}
"""What a user limits who wants a small recording."""

RECORDINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("scenes", "maps", {}),
    ("scenes", "cross", {}),
    ("scenes", "qk", {}),
    ("scenes", "qk", LIMITS),
    ("tiny", "qk", {}),
)


def compare(of: Subject, keep: str, limits: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Bytes estimated and bytes found, and what asking cost."""
    arguments = {
        "seed": of.seed,
        "steps": of.steps,
        "guidance_scale": of.guidance,
        "height": of.height,
        "width": of.width,
        "keep": keep,
        **limits,
    }
    estimate, sample = timed(lambda: of.lens.estimate(of.prompt, **arguments))
    run = of.lens.record(of.prompt, out=folder, **arguments)
    true = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    return {
        "model": of.name,
        "keep": keep,
        "limits": limits,
        "steps": of.steps,
        "estimated": estimate.total,
        "levels": dict(estimate.bytes),
        "true": true,
        "ratio": estimate.total / true,
        "seconds_to_estimate": sample.wall,
    }


def main() -> None:
    parser = parser_of(__doc__)
    options = parser.parse_args()
    where = machine()
    if not hasattr(Lens, "estimate"):
        print(f"diffuscope {where['diffuscope']} has no Lens.estimate, so there is nothing to compare")
        write_json(options.json, "estimate", where, {}, status="no estimate")
        return
    print(describe_machine(where), flush=True)
    told: list[dict[str, Any]] = []
    subjects: dict[str, Subject] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, keep, limits in RECORDINGS:
            name = "tiny" if options.quick else model
            of = subjects.setdefault(name, subject(name, 12 if name == "tiny" else None))
            say(f"{name}, {keep}{', limited' if limits else ''}")
            told.append(compare(of, keep, limits, Path(folder)))
    print()
    print(
        table(
            ["recording", "estimated", "true", "estimated / true", "seconds to estimate"],
            [
                [
                    f"{row['model']}, {row['keep']}, {row['steps']} steps{', limited' if row['limits'] else ''}",
                    megabytes(row["estimated"]),
                    megabytes(row["true"]),
                    f"{row['ratio']:.3f}",
                    f"{row['seconds_to_estimate']:.3f}",
                ]
                for row in told
            ],
        )
    )
    print(f"\nLimited: {', '.join(f'{name}={value}' for name, value in LIMITS.items())}.")
    write_json(options.json, "estimate", where, {"recordings": told})


if __name__ == "__main__":
    main()
