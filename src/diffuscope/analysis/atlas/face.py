"""What a run answers about its heads. `Run` inherits it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from diffuscope.analysis.atlas.survey import Atlas
from diffuscope.analysis.cause.importance import HeadRanking, kept_rankings
from diffuscope.analysis.head_query import Picks
from diffuscope.analysis.head_query import pick as pick_heads

if TYPE_CHECKING:
    from diffuscope.recording import Recording


class RunHeads:
    """Heads: the atlas of all of them, questions that name some, rankings by effect."""

    recording: Recording

    @cached_property
    def atlas(self) -> Atlas:
        """Every head with a small picture of what it does; see `diffuscope.analysis.atlas`."""
        return Atlas(self.recording)

    def pick(self, question: str) -> Picks:
        """The heads that a question names, such as ``cross:up.*/3`` or ``top 10 for circle by effect``; see
        `diffuscope.analysis.head_query` for all forms.

        Raises:
            InputError, SelectionError: it is not of this form, or names what is not there.
            UnknownWordError: the prompt has no such word.
            NotKeptError: heads were not kept, or were not ranked by effect.
        """
        return pick_heads(self.atlas, question)

    @property
    def rankings(self) -> list[HeadRanking]:
        """The rankings of heads by effect that `Lens.heads` made of this run, the newest first."""
        return kept_rankings(self.recording)
