"""A run over its steps. `Run` inherits it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from diffuscope.analysis.timeline.build import timeline_of, timelines_of
from diffuscope.analysis.timeline.timeline import Timeline
from diffuscope.analysis.timeline.timelines import Timelines
from diffuscope.maps.word_view import WordView
from diffuscope.selection import Choice, SiteChoice

if TYPE_CHECKING:
    from diffuscope.run import Run


class RunTimelines:
    """When each word of a run peaks, settles and emerges."""

    def timeline(
        self,
        words: Sequence[str] | None = None,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        **options: Any,
    ) -> Timelines:
        """The run over its steps, in measures: when each word peaks, settles and emerges.

        Args:
            words: words or phrases; None for all content words. Function words, start and end stand beside as controls.
            steps, sites, heads: as in `WordView.steps`.
            options: `reduce`, `size`, `weights` as there; `judge`, a function of (picture, labels) that scores the
                predicted clean pictures, ``auto`` (that of the drawn world on its runs) or None; `masks`, label to true
                mask.

        Raises:
            UnknownWordError: the prompt has no such word.
            SelectionError: a step, site, head or judge that is not there.
        """
        return timelines_of(cast("Run", self), words, steps, sites, heads, **options)

    def _timeline_of(self, view: WordView, *choice: Any, **options: Any) -> Timeline:
        """`WordView.timeline`; the maps do not know the measures."""
        return timeline_of(view, *choice, **options)
