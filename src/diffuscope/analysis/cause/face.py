"""What a run says about causes. `Run` inherits it; tests that draw are those of `Lens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from diffuscope.analysis.cause.faithfulness import Faithfulness, kept
from diffuscope.analysis.steerable import Target, suggestions, targets
from diffuscope.maps.words import find

if TYPE_CHECKING:
    from diffuscope.run import Run


class RunCauses:
    """What was found out about a run's causes, and what of its prompt could be changed."""

    def faithfulness(self, word: str) -> Faithfulness:
        """Whether the picture changes where a word's map is bright when the word is taken away, as
        `Lens.faithfulness` has found it for this run; no model is asked.

        Raises:
            UnknownWordError: the prompt has no such word. NotKeptError: the test was not made yet.
        """
        run = cast("Run", self)
        return kept(run.recording, find(run.manifest.text, word).label)

    def targets(self, concept: str) -> tuple[Target, ...]:
        """Which word of the prompt a concept ("blue") would act on, the likeliest first, by the prompt's grammar: see
        `diffuscope.analysis.steerable.targets`, and `Lens.targets`, which asks the text encoder too."""
        return targets(cast("Run", self), concept)

    def suggestions(self) -> tuple[Target, ...]:
        """What of the prompt can be steered: see `diffuscope.analysis.steerable.suggestions`."""
        return suggestions(cast("Run", self))
