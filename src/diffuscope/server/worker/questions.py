"""Quick questions, answered between two steps of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffuscope.server.worker.drawing import settings_of

if TYPE_CHECKING:
    from diffuscope.engine.estimate import Shapes
    from diffuscope.engine.lens import Lens
    from diffuscope.server.worker.models import Models


def prompt_as_read(models: Models, busy: bool, model: str, prompt: str) -> dict[str, Any]:
    """A prompt as a model reads it: its tokens, words, and what is to be said about it."""
    from diffuscope.engine.order import read_text
    from diffuscope.errors import InputError

    if busy and models.id != model:
        raise InputError(f"the worker draws with another model now, so {model!r} cannot read the prompt")
    lens = models.named(model)
    text, warnings = read_text(lens.pipe, lens.family, lens.loaded.id, prompt, {})
    return {
        "cut": text.cut,
        "warnings": warnings,
        "tokens": [token.model_dump() for token in text.tokens if token.kind != "padding"],
        "words": [word.model_dump() for word in text.words],
    }


class Sizes:
    """What recordings would take on disk. Shapes of a model are looked at once."""

    def __init__(self) -> None:
        self._shapes: tuple[Lens, Shapes] | None = None

    def of(self, models: Models, busy: bool, request: dict[str, Any]) -> dict[str, Any] | None:
        """What a recording would take on disk; None where it can be said only when the model draws nothing."""
        from diffuscope.engine.estimate import NotSeenError, Shapes

        if busy and models.id != request["model"]:
            return None
        lens = models.named(request["model"])
        if self._shapes is None or self._shapes[0] is not lens:
            self._shapes = (lens, Shapes())
        shapes = self._shapes[1]
        shapes.may_look = not busy
        warnings = list(lens.warnings)
        try:
            found: dict[str, Any] = lens.estimate(
                request["prompt"], shapes=shapes, **settings_of(request)
            ).to_json()
        except NotSeenError:
            return None
        finally:
            lens.warnings[:] = warnings  # They are those of the job that is being drawn.
        return found
