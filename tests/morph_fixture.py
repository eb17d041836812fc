"""Writes `fixtures/morph_motion.json`, which holds the page's film to Python's: ``python tests/morph_fixture.py``.

The page's own tests (`ui/src/views/morph/motion.test.ts`) read it; `test_morph_exports.py` says whether it is current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from diffuscope.analysis.measures.phases import planned
from diffuscope.morph.camera import path
from diffuscope.morph.motion import moment

FIXTURE = Path(__file__).parent / "fixtures" / "morph_motion.json"


def contents() -> dict[str, Any]:
    """Moments of the film, where the camera is at each, and the plan's phases of runs of several lengths."""
    moments, cameras = [], []
    for at in (*np.linspace(0, 1, 41).tolist(), -0.25, 1.6, 0.2999):
        for words in (False, True):
            now = moment(at, words=words)
            moments.append(
                {"at": at, "words": words, "progress": now.progress, "focus": now.focus, "time": now.time}
            )
            for aspect, frame in ((1.0, 16 / 9), (1.5, 0.6)):
                seen = path(now, aspect, frame)
                cameras.append(
                    {
                        "at": at,
                        "words": words,
                        "aspect": aspect,
                        "frame": frame,
                        "yaw": seen.yaw,
                        "pitch": seen.pitch,
                        "distance": seen.distance,
                        "target": list(seen.target),
                    }
                )
    plans = []
    for steps in (2, 4, 8, 25, 30, 50, 51):
        plan = planned(steps)
        plans.append([steps, plan["structure"][0] / (steps - 1), plan["detail"][0] / (steps - 1)])
    return {"moments": moments, "cameras": cameras, "plans": plans}


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(contents(), indent=1) + "\n", encoding="utf-8")
    print(FIXTURE)
