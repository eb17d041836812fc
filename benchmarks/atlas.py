"""What the head atlas of a large model weighs, and how long it takes to be had.

    python benchmarks/atlas.py [--models sd15 sdxl flux] [--steps N] [--json FILE]

Made-up recordings with the sites, grids and heads of Stable Diffusion 1.5 (512 pixels), SDXL (1024), Flux (512), whose
heads have 4 channels, and 16 text tokens (`diffuscope.testing.sized_run`). Real heads have 40 to 160 channels and 77
tokens, and the survey takes that much longer. Asked for over the server's own routes, in processor time:

- cold: the first word, which surveys all words of the prompt;
- from the run's cache: the same in a new server; warm: the same once more.

Promises, at any model's size: an overview of all steps below 6 MiB and a step in full below 8 MiB, beside 12 bytes of
ranges for each cell and slot; from the run's cache in 0.5 s.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from measuring import describe_machine, machine, megabytes, parser_of, say, table, write_json

from diffuscope.analysis.atlas.survey import DETAIL_BYTES, OVERVIEW_BYTES
from diffuscope.server.app import create_app
from diffuscope.server.settings import Settings
from diffuscope.testing.sized_run import make_sized_run

MODELS = ("sd15", "sdxl", "flux")
FILES = {
    "overview": "atlas/word-5/all.safetensors",
    "step in full": "atlas/word-5/0000.safetensors",
    "masses": "atlas/masses.safetensors",
    "atlas.json": "atlas.json",
}
HEADER = 65_536
"""Bytes of names and metadata that a file may have beside its tensors."""
CACHED = 0.5
"""Seconds of processor time."""


def measure(model: str, steps: int, folder: Path) -> dict[str, Any]:
    """Bytes and processor seconds of each file of one model's atlas."""
    began = time.process_time()
    run = make_sized_run(folder / model, model, steps=steps)  # type: ignore[arg-type]
    say(f"{model}: made in {time.process_time() - began:.1f} s")
    found: dict[str, Any] = {"steps": steps, "files": {}}
    for kind in ("cold", "from the cache"):
        with TestClient(create_app(Settings(runs=folder)), base_url="http://localhost") as client:
            for name, path in FILES.items():
                for when in (kind, "warm") if kind != "cold" else (kind,):
                    began = time.process_time()
                    answer = client.get(f"/api/runs/{run.name}/{path}")
                    seconds = time.process_time() - began
                    answer.raise_for_status()
                    told = found["files"].setdefault(name, {"bytes": len(answer.content), "seconds": {}})
                    told["seconds"][when] = seconds
            found["cells"] = client.get(f"/api/runs/{run.name}/atlas.json").json()["cells"]
    return found


def kept(found: dict[str, Any]) -> dict[str, bool]:
    """Which promises hold."""
    files, cells = found["files"], found["cells"]
    ranges = 12 * cells
    return {
        "overview": files["overview"]["bytes"] <= OVERVIEW_BYTES + ranges * (found["steps"] + 1) + HEADER,
        "step in full": files["step in full"]["bytes"] <= DETAIL_BYTES + ranges + HEADER,
        "from the cache": files["overview"]["seconds"]["from the cache"] <= CACHED,
    }


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--steps", type=int, default=25)
    options = parser.parse_args()
    steps = 1 if options.quick else options.steps
    results: dict[str, Any] = {}
    told = machine()
    with tempfile.TemporaryDirectory(prefix="diffuscope-") as place:
        for model in ["sd15"] if options.quick else options.models:
            results[model] = measure(model, steps, Path(place))
            results[model]["promises"] = kept(results[model])
    print(describe_machine(told))
    rows = [
        [
            model,
            str(found["cells"]),
            str(found["steps"]),
            name,
            megabytes(one["bytes"]),
            *(f"{one['seconds'][when]:.3f}" for when in ("cold", "from the cache", "warm")),
        ]
        for model, found in results.items()
        for name, one in found["files"].items()
    ]
    print(
        table(["sites of", "cells", "steps", "file", "size", "cold, s", "from the cache, s", "warm, s"], rows)
    )
    for model, found in results.items():
        broken = [name for name, holds in found["promises"].items() if not holds]
        print(f"{model}: {'every promise is kept' if not broken else 'not kept: ' + ', '.join(broken)}")
    write_json(options.json, "atlas", told, results)


if __name__ == "__main__":
    main()
