"""A writer of nothing, for pictures that are drawn beside the one that is recorded."""

from __future__ import annotations

from typing import Any

from diffuscope.recording import RunWriter


class Unkept:
    """Takes what a `RunWriter` takes while a run is drawn, and drops it."""

    def write_step(self, *given: Any) -> None: ...

    def write_text(self, *given: Any) -> None: ...

    def event(self, kind: str, **data: Any) -> None: ...

    def finish(self, image: Any) -> None: ...

    def abort(self, reason: str) -> None: ...


Writer = RunWriter | Unkept
