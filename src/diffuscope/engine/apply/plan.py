"""The plan: edits resolved against a model and a run, and put on. All bad input is told here, before anything runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from diffuscope.edits import Edit
from diffuscope.engine.apply.at_kernel import Stand
from diffuscope.engine.apply.conditioning import Arguments
from diffuscope.engine.apply.donors import Donor
from diffuscope.engine.apply.following import Following
from diffuscope.engine.apply.places import Size
from diffuscope.engine.apply.resolving import Resolved
from diffuscope.engine.capture.joint import PATCH
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.models.family import AttentionSite, DenoiserCall, Family
from diffuscope.errors import EditError
from diffuscope.recording import TextInfo

Given = TypeVar("Given")


class Applying:
    """Edits that are ready to be put on one pipeline, for runs of one form.

    Args:
        pipe, family: the pipeline and its adapter.
        edits: in the order in which they are applied; one list for all pictures that are drawn together, or one list
            for each picture.
        prompts: the prompt, or that of each picture; None where the caller has given embeddings. Words and phrases are
            looked up in it.
        pictures: how many pictures are drawn together; by default as many as there are prompts, or lists of edits.
        texts: how the model reads each prompt, where that is known already.
        steps: how many steps will be drawn; None where that shows only when the run begins.
        size: height and width of the picture in pixels; None where they show in the run.
        donors: by the name that edits give them; only those that are named are needed.
        options: further arguments of the pipeline's call, which say how it reads prompts.

    Raises:
        EditError, SelectionError, RegionError, UnknownWordError: an edit that cannot act on this model or run.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        edits: Sequence[Edit] | Sequence[Sequence[Edit]],
        *,
        prompts: str | Sequence[str] | None = None,
        pictures: int | None = None,
        texts: Sequence[TextInfo] | None = None,
        steps: int | None = None,
        size: Size | None = None,
        donors: Mapping[str, Donor] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipe, self.family, self.size = pipe, family, size
        lists = _by_picture(edits, prompts, pictures)
        self.edits: tuple[Edit, ...] = tuple(dict.fromkeys(each for chosen in lists for each in chosen))
        """All that are applied to some picture."""
        self.pictures = len(lists)
        options, told = dict(options or {}), _for_each(prompts, len(lists))
        read = tuple(texts) if texts else tuple(family.read_prompt(pipe, each, options).text for each in told)
        self._following = Following(pipe, family, len(lists))
        self._grids: dict[int, Size] = {}
        self._acts = Resolved(
            pipe,
            family,
            lists,
            prompts=told,
            texts=_spread(read, len(lists)) if read else (),
            steps=steps,
            size=size,
            donors=donors or {},
            options=options,
        )

    # What it knows before anything runs.

    def first_step_touched(self) -> int | None:
        """The first step that an edit acts at, None when none acts at any.

        Raises:
            EditError: the number of steps is not known yet.
        """
        steps = self._acts.steps
        if not self.edits:
            return None
        if steps is None:
            raise EditError("which step is touched first is known when the number of steps is: give steps=")
        return min(edit.resolve_steps(steps)[0] for edit in self.edits)

    # Putting them on.

    def install(self, patches: Patches) -> None:
        """Put the edits on, until `patches` is left. Do this before a recording begins: so it sees what they do."""
        if not self.edits:
            return
        self._acts.speak.install(patches)
        self._following.install(patches)
        self._following.on_begin = [self._acts.begin]
        for keys, names in self._acts.keys:
            for name in names:
                keys.install(patches, self._acts.sites[name])
        stands = self._stands()
        for stand in stands:
            stand.install(patches)
            module = stand.site.spatial
            if module is not None and id(module) not in self._grids:
                self._watch_grid(patches, module)
        self._watch_denoiser(patches, stands)

    def skip(self, call: DenoiserCall) -> None:
        """A call of the denoiser that is not made, since its output is known and no edit acts in it: the run is
        followed all the same."""
        if self.edits:
            self._following.begin(call)
            self._following.end()

    def _stands(self) -> list[Stand]:
        stands = []
        for site in self._acts.sites.values():
            acts = [act for act in self._acts.kernel if site.name in act.aim.sites]
            # The extra rows of steered guidance pass every site unseen.
            if acts or self._acts.guidance:
                stands.append(Stand(site, acts, self._following, self._where))
        return stands

    def _watch_grid(self, patches: Patches, module: torch.nn.Module) -> None:
        forward = module.forward
        self._grids[id(module)] = (0, 0)

        @functools.wraps(forward)
        def watched(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self._grids[id(module)] = (hidden.shape[-2], hidden.shape[-1])
            return forward(hidden, *args, **kwargs)

        patches.replace(module, "forward", watched)
        patches.do(lambda: None, self._grids.clear)

    def _watch_denoiser(self, patches: Patches, stands: Sequence[Stand]) -> None:
        forward = self._acts.denoiser.forward
        signature = inspect.signature(forward)

        def unseen(*args: Any, **kwargs: Any) -> Any:
            for stand in stands:
                stand.bypassed = True
            try:
                return forward(*args, **kwargs)
            finally:
                for stand in stands:
                    stand.bypassed = False

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            moment = self._following.begin(self.family.call(args, kwargs))
            try:
                arguments = Arguments(signature, args, kwargs)
                for text in self._acts.text:
                    text(moment, arguments)
                output = arguments.call(forward)
                for guidance in self._acts.guidance:
                    made = guidance(
                        moment,
                        Arguments(signature, args, kwargs),
                        output[0] if isinstance(output, tuple) else output.sample,
                        unseen,
                        self._acts.speak,
                        self._image(),
                        self._following.grid(),
                    )
                    output = (made, *output[1:]) if isinstance(output, tuple) else type(output)(sample=made)
                return output
            finally:
                self._following.end()

        patches.replace(self._acts.denoiser, "forward", watched)

    def _where(self, site: AttentionSite, queries: int) -> tuple[Size, Size]:
        packed = self._following.grid()
        if site.spatial is None:
            assert packed is not None
            return packed, self._image()
        height, width = self._grids[id(site.spatial)]
        return (height // site.patch, width // site.patch), self._image()

    def _image(self) -> Size:
        if self.size is not None:
            return self.size
        moment, packed = self._following.now, self._following.grid()
        assert moment is not None
        factor = int(getattr(self.pipe, "vae_scale_factor", 8))
        height, width = moment.call.sample.shape[-2:] if packed is None else (side * PATCH for side in packed)
        return height * factor, width * factor


@contextmanager
def applied(
    pipe: Any, family: Family, edits: Sequence[Edit] | Sequence[Sequence[Edit]], **settings: Any
) -> Iterator[Applying]:
    """Within, the pipeline draws with edits; afterwards nothing of them is left. `settings`: those of `Applying`.

    Raises:
        EditError, SelectionError, RegionError, UnknownWordError: see `Applying`.
    """
    plan = Applying(pipe, family, edits, **settings)
    with Patches() as patches:
        plan.install(patches)
        yield plan


def _by_picture(
    edits: Sequence[Edit] | Sequence[Sequence[Edit]],
    prompts: str | Sequence[str] | None,
    pictures: int | None,
) -> list[tuple[Edit, ...]]:
    flat = tuple(each for each in edits if isinstance(each, Edit))
    lists = [tuple(each) for each in edits if isinstance(each, list | tuple)]
    if len(flat) + len(lists) < len(edits) or (flat and lists):
        raise EditError("edits are one list for all pictures, or one list for each picture")
    for each in (edit for chosen in lists for edit in chosen):
        if not isinstance(each, Edit):
            raise EditError(f"{each!r} is no edit")
    if lists:
        if pictures not in (None, len(lists)):
            raise EditError(f"{len(lists)} lists of edits were given for {pictures} pictures")
        return lists
    count = pictures or (1 if prompts is None or isinstance(prompts, str) else len(prompts))
    return [flat] * count


def _for_each(prompts: str | Sequence[str] | None, pictures: int) -> tuple[str, ...]:
    """The prompt of each picture; several pictures of one prompt follow one another."""
    if prompts is None:
        return ()
    return _spread([prompts] if isinstance(prompts, str) else list(prompts), pictures)


def _spread(given: Sequence[Given], pictures: int) -> tuple[Given, ...]:
    if not given or pictures % len(given):
        raise EditError(f"{len(given)} prompts were given for {pictures} pictures")
    return tuple(each for each in given for _ in range(pictures // len(given)))
