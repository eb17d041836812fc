"""What a lens does about causes. `Lens` inherits it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.cause.faithfulness import Faithfulness
from diffuscope.analysis.cause.importance import Bound, HeadRanking
from diffuscope.analysis.cause.patching import PatchingGrid
from diffuscope.analysis.cause.windows import Windows
from diffuscope.edits import Edit
from diffuscope.run import Run
from diffuscope.selection import SiteChoice

if TYPE_CHECKING:
    from diffuscope.engine.cause.heads import OnEffect
    from diffuscope.engine.drawing import Progress
    from diffuscope.engine.lens import Lens


class Causes:
    """Tests of what maps suggest, by edits. Effects are differences to an unedited picture of the same batch."""

    def faithfulness(
        self,
        run: Run,
        word: str,
        *,
        shares: Sequence[float] = (0.1, 0.25, 0.5, 0.75),
        orders: int = 3,
        seed: int = 0,
        progress: Progress | None = None,
        **options: Any,
    ) -> Faithfulness:
        """Put a word's map to the test: silence the word, leave it out of the prompt, silence it patch by patch.

        Args:
            run: a recording of this model, of any level.
            word: label of a word or phrase of the prompt.
            shares: of patches that are silenced for the deletion curve, between 0 and 1.
            orders: how many random orders stand beside the map's.
            seed: of the random orders, the random word and the control.
            progress: as of `Lens.sweep`.
            **options: as of `Lens.edit`.

        Returns:
            The result, which is kept in the run's cache: `run.faithfulness(word)` and the report have it from there.

        Raises:
            UnknownWordError: the prompt has no such word; InputError: shares or orders that cannot be, a token that is
                no word, or a run that kept the negative prompt's attention; as `Lens.sweep`.
        """
        from diffuscope.engine.cause.faithfulness import faithfulness

        return faithfulness(
            cast("Lens", self),
            run,
            word,
            shares=shares,
            orders=orders,
            seed=seed,
            progress=progress,
            **options,
        )

    def windows(
        self,
        run_or_prompt: Run | str,
        what: str | Edit,
        *,
        parts: int = 5,
        seeds: int | Sequence[int] = 6,
        progress: Progress | None = None,
        **settings: Any,
    ) -> Windows:
        """Make an edit in every window of the run, and say in which it counts.

        Args:
            run_or_prompt: what is drawn; a run's own seed comes first.
            what: a word, which is silenced, or an edit; its own steps are set aside.
            parts: into how many equal parts the run is cut; windows lie between any two cuts.
            seeds: how many, or which.
            progress: called with (seeds done, seeds in all).
            **settings: of `Lens.record`, where a prompt is given.

        Returns:
            Effects of all windows, with the recommended intervention window. Of a run, kept in its cache.

        Raises:
            InputError: seeds or parts that cannot be; as `Lens.sweep`.
        """
        from diffuscope.engine.cause.windows import search_windows

        return search_windows(
            cast("Lens", self), run_or_prompt, what, parts=parts, seeds=seeds, progress=progress, **settings
        )

    def heads(
        self,
        run_or_prompt: Run | str,
        word: str | None = None,
        *,
        object: str | None = None,
        region: str | Callable[[Run], NDArray[np.bool_]] | None = None,
        sites: SiteChoice = None,
        window: str = "all",
        factor: float = 0.0,
        seeds: int | Sequence[int] = 12,
        per_round: int = 4,
        top: int = 5,
        error: float = 0.05,
        bound: Bound = "student",
        stop: bool = True,
        progress: Progress | None = None,
        on_effect: OnEffect | None = None,
        on_ranking: Callable[[HeadRanking], None] | None = None,
        **settings: Any,
    ) -> HeadRanking:
        """Rank heads by what taking each of them out does to the thing that a word names.

        Args:
            run_or_prompt: what is drawn; a run's own seed comes first.
            word: whose thing is looked at. In the drawn world the judge says in each picture where it is; elsewhere it
                is the quarter of the picture that silencing the word changes most.
            object: the same for a phrase of the prompt: ``red circle``.
            region: a part of the picture instead, as `Selection.region`: ``box:16,16,48,48``; or a function of each
                seed's unedited run, which gives bool ``[y, x]`` in pixels (all False leaves the seed out).
            sites: which; cross-attention by default.
            window: steps at which the head is taken out.
            factor: what its output is multiplied with.
            seeds: how many at most, or which.
            per_round: seeds that are drawn between two looks at what is settled.
            top: how many heads are sought.
            error: probability that anything is settled wrongly.
            bound: ``student``, for effects that are normal over seeds, or ``bernstein``, for any that are bounded.
            stop: settle heads early; False draws every head with every seed.
            progress: called with (pictures drawn, pictures at most).
            on_effect: called with (site, head, seed, effect inside the thing, effect outside) at each picture.
            on_ranking: called with the ranking so far after each seed.
            **settings: of `Lens.record`, where a prompt is given: steps, guidance_scale, …

        Returns:
            The ranking. That of a run is kept in its cache: `run.rankings`, `run.pick("top 5 for circle by effect")`
            and the page have it from there.

        Raises:
            InputError: not one of word, object and region; a thing that is in no picture; numbers that cannot be; as
                `Lens.sweep`.
            MissingExtraError: the bound of Student needs SciPy (extra `analysis`).
        """
        from diffuscope.engine.cause.heads import search_heads
        from diffuscope.errors import InputError

        if word is not None and object is not None:
            raise InputError("word and object are two ways to say one thing; give one of them")
        return search_heads(
            cast("Lens", self),
            run_or_prompt,
            object if word is None else word,
            region=region,
            sites=sites,
            window=window,
            factor=factor,
            seeds=seeds,
            per_round=per_round,
            top=top,
            error=error,
            bound=bound,
            stop=stop,
            progress=progress,
            on_effect=on_effect,
            on_ranking=on_ranking,
            **settings,
        )

    def patching(
        self,
        prompt: str,
        donor: str,
        *,
        by: str = "sites",
        sites: SiteChoice = None,
        parts: int = 1,
        seeds: int | Sequence[int] = 4,
        controls: bool = True,
        progress: Progress | None = None,
        **settings: Any,
    ) -> PatchingGrid:
        """Put one prompt's activations into another's run, part by part: which parts carry the difference?

        Args:
            prompt, donor: the two prompts; both are drawn from each seed.
            by: ``sites``, or ``heads`` for every head by itself.
            sites: which; cross-attention by default.
            parts: into how many windows of steps the run is cut.
            seeds: how many, or which.
            controls: whether a random change of equal norm stands beside each.
            progress: called with (seeds done, seeds in all).
            **settings: of `Lens.record`.

        Raises:
            InputError: prompts that are one, or another `by`; as `Lens.sweep`.
        """
        from diffuscope.engine.cause.patching import By, patch_grid

        return patch_grid(
            cast("Lens", self),
            prompt,
            donor,
            by=cast("By", by),
            sites=sites,
            parts=parts,
            seeds=seeds,
            controls=controls,
            progress=progress,
            **settings,
        )
