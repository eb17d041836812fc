"""What jobs stand at: folders, models, and a way to tell and to be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens
    from diffuscope.server.worker.models import Models


class Desk(Protocol):
    """The worker, as jobs see it.

    Attributes:
        runs, studies: folders.
        models: the one that is loaded, or another in its place.
    """

    runs: Path
    studies: Path
    models: Models

    def event(self, event: str, **data: Any) -> None:
        """Say what happens to the job."""

    def work(self, done: int, of: int) -> None:
        """Progress of what draws many pictures."""

    def warn(self, lens: Lens) -> None:
        """Say what a lens has to tell the user."""

    def poll(self) -> None:
        """Between two steps: answer questions, and stop where the job is not wanted any more.

        Raises:
            Cancelled: it is not.
            Gone: nor is the server there.
        """
