"""What a run says about objects. `Run` inherits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from diffuscope.analysis.objects.annotation import Objects, annotate
from diffuscope.analysis.objects.chain import Chain

if TYPE_CHECKING:
    from diffuscope.run import Run


class RunObjects:
    """The objects that a run's prompt names, found in its picture."""

    def objects(self, chain: Chain | str | None = None, **options: Any) -> Objects:
        """The objects that the prompt names, each with mask, box and score: see `analysis.objects.annotation.annotate`.

        ``run.objects().to_coco("dataset")`` writes them down.

        Args:
            chain: how maps become masks: a `Chain`, its name (``default``, ``edges``, ``guided``, ``titan``), or None
                for ``auto``: the one that was settled for the run's model, else the default.
            options: changes of it, ``threshold=0.4``.

        Raises:
            InputError: an option that there is not.
            NotKeptError: the chain needs what was not kept.
            MissingExtraError: the extra ``objects`` is not installed.
        """
        return annotate(cast("Run", self), chain, **options)
