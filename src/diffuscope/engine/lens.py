"""The one door to the running model: `Lens.load`, `lens.record`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffuscope.edits import Edit
from diffuscope.engine.capture.session import FirstCall
from diffuscope.engine.cause.face import Causes
from diffuscope.engine.concepts import Concepts
from diffuscope.engine.drawing import Drawing, OnEstimate, Progress
from diffuscope.engine.estimate import Estimate, Shapes
from diffuscope.engine.models.family import AttentionSite
from diffuscope.engine.models.loading import SHIPPED, Loaded, around, load
from diffuscope.engine.models.registry import family_of
from diffuscope.engine.order import DEFAULT_BUDGET, Store, Wish, check
from diffuscope.recording import Branch, Level
from diffuscope.selection import Choice, SiteChoice

if TYPE_CHECKING:
    from diffuscope.analysis.steerable import Target
    from diffuscope.analysis.sweeps import Swept
    from diffuscope.engine.sweep import KeepSwept


class Lens(Concepts, Causes):
    """A pipeline under the lens.

    `Lens.load("scenes")` opens the shipped model, a folder in diffusers layout, a checkpoint file or a hub id;
    `Lens(pipe)` takes a pipeline that the user has made, and leaves it as it is.
    """

    def __init__(self, pipe: Any, *, loaded: Loaded | None = None) -> None:
        """Raises UnsupportedModelError if no family adapter serves `pipe`."""
        self.family = family_of(pipe)
        self.pipe = pipe
        self.loaded = loaded if loaded is not None else around(pipe)
        self.warnings: list[str] = []
        """What the last `record` had to say: words that were cut, words that the shipped model does not know."""

    @classmethod
    def load(
        cls,
        model: str | Path = SHIPPED,
        *,
        device: str | None = None,
        dtype: torch.dtype | str | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> Lens:
        """Open a model; see `engine.models.loading.load`, which has all arguments and errors."""
        loaded = load(model, device=device, dtype=dtype, revision=revision, **options)
        return cls(loaded.pipe, loaded=loaded)

    @property
    def sites(self) -> tuple[AttentionSite, ...]:
        """Every attention site of the model, in the order of the data."""
        return self.family.sites(self.pipe)

    def record(
        self,
        prompt: str | Sequence[str],
        *,
        negative_prompt: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        images_per_prompt: int = 1,
        keep: Level | None = None,
        sites: SiteChoice = None,
        grids: str | None = None,
        keep_steps: Choice = None,
        keep_heads: Choice = None,
        values: bool = False,
        store: Store = "kernel",
        budget: int | str = DEFAULT_BUDGET,
        out: str | Path = "runs",
        previews: bool = True,
        branch: Branch = "cond",
        progress: Progress | None = None,
        on_estimate: OnEstimate | None = None,
        **options: Any,
    ) -> Any:
        """Draw a picture and record what the model attends to while it does. The picture is the one that the pipeline
        draws without the lens, to the bit.

        Args:
            prompt: what to draw; several prompts are drawn together.
            negative_prompt: what guidance moves away from; the empty prompt by default.
            seed: of the first noise. Picture `i` of several has the seed `seed + i`.
            steps: number of scheduler steps; the pipeline's own default where none is given (shipped model: 25).
            guidance_scale: weight of classifier-free guidance; 1 or less means none. Default as for `steps`.
            width, height: of the picture in pixels.
            images_per_prompt: how many pictures; each gets a run folder of its own.
            keep: `maps`, `cross` or `qk`: what is kept. By default the highest level that fits `budget`.
            sites: pattern of the sites to keep (`cross:up.*,self:*`); all by default.
            grids: of which grids sites are kept, height x width (`16x16,8x8`); all by default.
            keep_steps: at which steps attention is kept (`0:10`); at all by default. Latents are kept of all.
            keep_heads: whose queries and keys are kept (`0:4`), counted within each site; of all by default.
            values: keep the values of self-attention too (with `qk`).
            store: `kernel` keeps tensors in the type that the kernel received, `float16` rounds what is larger, and
                the largest change that this makes to a probability is written down for each step.
            budget: bytes that a run may take on disk where `keep` is not given: a number, or `500MB`, `2GB`.
            out: folder of runs; a new folder is made in it for each picture.
            previews: whether to decode the predicted clean image of each step.
            branch: `cond` keeps the attention of the conditional row; `uncond` that of the row which reads the negative
                prompt, whose words the run then has. The picture is the same.
            progress: called as `progress(step, steps)` after each step.
            on_estimate: called with the estimate of the run's size when it is known, before anything is written.
            **options: further arguments of the pipeline's call (`image`, `strength`, `control_image`,
                `ip_adapter_image`, `clip_skip`, …). The manifest holds numbers and texts of them, and checksums of
                pictures.

        Returns:
            A `Run`, or a list of them when there is more than one picture.

        Raises:
            PromptError, SizeError, SelectionError, RunFolderError, InputError: bad input, before anything runs; a
                grid that no site has, or a disk with too little room, after the first call of the denoiser.
            CaptureError: the model's attention could not be recorded whole; what was recorded stays readable.
        """
        wish = Wish(keep, sites, grids, keep_steps, keep_heads, values, store, budget, previews, branch)
        drawing = self._drawing(
            prompt,
            wish,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            guidance_scale=guidance_scale,
            width=width,
            height=height,
            images_per_prompt=images_per_prompt,
            options=options,
        )
        try:
            runs = drawing.record(out, progress, on_estimate)
        finally:
            self.warnings += drawing.warnings
        return runs[0] if len(runs) == 1 else runs

    def edit(
        self,
        run: Any,
        *edits: Edit,
        out: str | Path = "runs",
        donors: Mapping[str, Any] | None = None,
        full: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Any:
        """Draw a recorded run again with edits, and record that. Until the first step that an edit acts at, the
        recorded outputs of the denoiser take its place, so only what is left of the run is computed; the picture is,
        to the bit, that of a whole run with the same edits.

        Args:
            run: a `Run`, or its folder. One that was edited itself keeps its edits, and these come after them.
            *edits: in the order in which they are applied (`diffuscope.edits`); with none, the run itself comes out.
            out: folder of runs; the new run names `run` as its parent.
            donors: of `Patch` and `Inject`, by name, where they are not paths of runs, which are drawn beside.
            full: compute all steps, also those that no edit changes: where the recording was made on another device or
                with other versions, and cannot be continued here.
            progress: called as `progress(step, steps)` after each step.
            **options: arguments that the run was drawn with and of which its manifest holds only a checksum.

        Raises:
            EditError, SelectionError, RegionError, UnknownWordError: an edit that cannot act on this run; before
                anything runs.
            InputError: another model, or a run whose manifest does not say enough to draw it again.
            CaptureError: the recording cannot be continued here, see `full`.
        """
        from diffuscope.engine.replay import replay

        return replay(self, run, *edits, out=out, donors=donors, full=full, progress=progress, **options)

    def sweep(
        self,
        run: Any,
        edits: Iterable[Edit | Sequence[Edit]],
        *,
        batch: int | None = None,
        keep: KeepSwept = "none",
        out: str | Path | None = None,
        donors: Mapping[str, Any] | None = None,
        full: bool = False,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Iterator[Swept]:
        """Draw many variations of a recorded run, several at a time, and say of each what it changed.

        Each batch holds the run once without the variations, and all effects are differences to that row: rows of a
        batch round differently from a run of its own (by about 1e-6 in float32), and alike among themselves. Its first
        steps are the recorded ones, up to the first that one of its variations touches.

        Args:
            run: a `Run`, or its folder. Edits that it was made with stay on, in the unedited row too.
            edits: the variations, each an edit or a list of edits that are applied together.
            batch: how many pictures are drawn together, the unedited one among them: 2 or more. By default as many as
                have 65536 cells of the latent together, 16 at most.
            keep: the level at which every variation and each batch's unedited row are recorded, or `none`.
            out: folder of the sweep: a journal, the pictures and the recordings. Called again with the same folder,
                what is there is not drawn again. Without it nothing is written.
            donors, full, options: as of `edit`.
            progress: called as `progress(done, total)`, in denoiser calls times variations, of what is not on disk.
            cancel: asked before each call of the denoiser: when it says True the iteration ends. Batches that are
                finished stay on disk.

        Returns:
            An iterator of `Swept`, in batches as they are drawn: what is on disk first, then by the first step that is
            touched. `Swept.index` counts `edits`. Between two results the pipeline is as it was.

        Raises:
            EditError, SelectionError, RegionError, UnknownWordError, InputError: as `edit`, when this is called.
            RunFolderError: `out` cannot be written.
            CaptureError: from the iterator, as `edit`.
        """
        from diffuscope.engine.sweep import sweep

        return sweep(
            self,
            run,
            edits,
            batch=batch,
            keep=keep,
            out=out,
            donors=donors,
            full=full,
            progress=progress,
            cancel=cancel,
            **options,
        )

    def targets(self, run: Any, concept: str) -> tuple[Target, ...]:
        """Where in a run's prompt a concept ("blue") would act, the likeliest first; each has the edit that steers
        there, `target.edit()`. By the prompt's grammar, and where that leaves several or does not know the word, by the
        similarity of the text encoder's embeddings, which `Run.targets` has to do without.

        Raises:
            InputError: the concept says nothing, the prompt names nothing that it could act on, or the run is of
                another model.
        """
        from diffuscope.engine.likeness import targets_of

        return targets_of(self, run, concept)

    def estimate(
        self, prompt: str | Sequence[str], *, shapes: Shapes | None = None, **settings: Any
    ) -> Estimate:
        """What `record` with the same arguments would take on disk. Costs the text encoder and one call of the
        denoiser; nothing is written.

        Args:
            prompt: what to draw.
            shapes: what earlier estimates of this pipeline have seen: the denoiser is called for a new size alone.
            **settings: those of `record`, without `out`, `progress` and `on_estimate`.

        Raises:
            as `record`, and TypeError for an argument that neither it nor the pipeline has.
        """
        names = {"steps": "keep_steps", "heads": "keep_heads"}
        given = {
            field.name: settings.pop(name)
            for field in fields(Wish)
            if (name := names.get(field.name, field.name)) in settings
        }
        asked: dict[str, Any] = {
            "negative_prompt": None,
            "seed": 0,
            "steps": None,
            "guidance_scale": None,
            "width": None,
            "height": None,
            "images_per_prompt": 1,
        }
        options = {name: settings.pop(name) for name in sorted(settings.keys() - asked.keys())}
        unknown = [name for name in options if name not in self.pipe.__call__.__annotations__]
        if unknown:
            raise TypeError(f"estimate() got an unexpected keyword argument {unknown[0]!r}")
        asked |= settings
        drawing = self._drawing(prompt, Wish(**given), options=options, **asked)
        if shapes is None:
            return drawing.estimate()
        order = drawing.order
        # Without guidance there is one row less to keep.
        key = (order.size, len(order.pictures), order.guidance_scale > 1, str(sorted(order.options.items())))

        def look(steps: int) -> FirstCall:
            return self._drawing(prompt, Wish(), options=options, **{**asked, "steps": steps}).look()

        return drawing.estimate(shapes.of(key, order.num_steps, look))

    def _drawing(
        self, prompt: str | Sequence[str], wish: Wish, *, same_noise: bool = False, **settings: Any
    ) -> Drawing:
        """A checked order, ready to be drawn by the ordinary pipeline. `same_noise`: all pictures have the seed."""
        order, arguments = check(self.pipe, self.family, self.loaded.id, wish, prompt=prompt, **settings)
        self.warnings = list(order.warnings)
        if same_noise:
            same = tuple(replace(picture, seed=settings["seed"]) for picture in order.pictures)
            order = replace(order, pictures=same)
        generators = _generators([picture.seed for picture in order.pictures])
        return Drawing(
            self.pipe, self.family, self.loaded, order, lambda: self.pipe(**arguments, generator=generators)
        )


def _generators(seeds: Sequence[int | None]) -> Any:
    """Noise is drawn on the CPU, so that a seed means the same picture on every device."""
    made = [torch.Generator("cpu").manual_seed(seed) for seed in seeds if seed is not None]
    return made[0] if len(made) == 1 else made
