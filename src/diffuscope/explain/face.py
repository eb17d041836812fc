"""A run in words. `Run` inherits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from diffuscope.explain.explaining import explain_comparison, explain_run
from diffuscope.explain.explanation import Explanation
from diffuscope.explain.writers import Writer

if TYPE_CHECKING:
    from diffuscope.analysis.comparing import Comparison
    from diffuscope.run import Run


class RunExplanations:
    """Explanations of a run, and of what an edit made of it."""

    def explain(
        self, writer: Writer | str = "builtin", *, word: str | None = None, quick: bool = False
    ) -> Explanation:
        """The run in words: what was asked and what came out, what stands out, why a word was ignored and what to try.
        Every sentence cites claims, and every claim can be computed again from its selection.

        Args:
            writer: ``builtin``, ``openai`` (as the environment says, see `diffuscope.explain.endpoint`), or one of
                your own.
            word: of the prompt, whose account is wanted whatever became of it.
            quick: leave out when words came true in the predicted pictures, which a judge must read one by one.

        Raises:
            UnknownWordError, SelectionError: the prompt has no such word.
            InputError, MissingExtraError: an unknown writer, or one that is not set up.
        """
        return explain_run(cast("Run", self), writer, word=word, quick=quick)

    def _explained(self, comparison: Comparison, writer: Writer | str, **options: Any) -> Explanation:
        """`Comparison.explain`; what is compared does not know what is said of it."""
        return explain_comparison(comparison, writer, **options)
