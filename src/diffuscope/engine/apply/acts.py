"""What each edit does at an attention call. The formulas are those of `diffuscope.edits`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from diffuscope.edits import Custom, Edit, Scale
from diffuscope.engine.apply.at_kernel import Attend, Here, KernelCall, silent_kernel
from diffuscope.engine.apply.donors import Donor
from diffuscope.engine.apply.places import Place, cover, indices, wide
from diffuscope.engine.apply.randomness import random_like
from diffuscope.engine.apply.text_keys import TextKeys
from diffuscope.errors import EditError
from diffuscope.recording import TextInfo


@dataclass(eq=False)
class Aim:
    """When and where an edit acts, resolved against a model and a run.

    Attributes:
        edit: the edit.
        sites: names of the sites.
        heads: of each site, its heads; None for all.
        steps: indices of the steps; empty until the number of steps is known.
        pictures: whose conditional rows.
    """

    edit: Edit
    sites: frozenset[str]
    heads: Mapping[str, tuple[int, ...] | None]
    steps: frozenset[int]
    pictures: frozenset[int]

    def place(self, call: KernelCall, here: Here) -> Place:
        """The part of a call at which it acts."""
        device = call.query.device
        rows = [row for row, picture in enumerate(call.pictures) if picture in self.pictures]
        named = self.heads.get(here.site.name)
        heads = indices(range(here.heads) if named is None else named, device)
        return Place(indices(rows, device), heads, self._weight(call, here))

    def _weight(self, call: KernelCall, here: Here) -> torch.Tensor | None:
        if self.edit.patches is None:
            return None
        cells = cover(self.edit.patches, here.image, here.grid, call.query).flatten()
        beside = call.query.shape[-2] - len(cells)
        if not beside:
            return cells
        # A joint sequence: patches are the picture's, and the text's queries stay.
        text = cells.new_zeros(beside)
        return torch.cat([text, cells] if here.site.text_first else [cells, text])


@dataclass(frozen=True)
class KernelAct:
    """Base of the acts: an aim, and which of a module's kernel calls it acts on (the first is the text's)."""

    aim: Aim

    def acts(self, site: str, step: int, number: int) -> bool:
        return site in self.aim.sites and step in self.aim.steps and number == 0

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        raise NotImplementedError


@dataclass(frozen=True)
class ScaleAct(KernelAct):
    """`out[p, h] *= factor`. Image prompts' kernel calls are parts of the same output, so all are scaled."""

    def acts(self, site: str, step: int, number: int) -> bool:
        return site in self.aim.sites and step in self.aim.steps

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        edit = self.aim.edit
        assert isinstance(edit, Scale)

        def attend(call: KernelCall) -> torch.Tensor:
            out, place = inner(call), self.aim.place(call, here)
            return place.blend(out, out[place.at] * edit.factor)

        return attend


@dataclass(frozen=True)
class ReweightAct(KernelAct):
    """A word's probability, logits or odds, times a factor. `tokens`: of each picture, the word's keys."""

    tokens: tuple[tuple[int, ...], ...]
    factor: float
    of: str

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        def attend(call: KernelCall) -> torch.Tensor:
            place = self.aim.place(call, here)
            if place.weight is None and self.of != "odds":
                return inner(self._weighed(call, place, here))
            # Queries differ in their keys or values, or the mask would be of another kind than the kernel's own: the
            # kernel is asked once more, for the rows that are edited.
            out = inner(call)
            again = silent(self._weighed(call, place, here).part(place.rows))
            return place.blend(out, again[:, place.heads])

        return attend

    def _weighed(self, call: KernelCall, place: Place, here: Here) -> KernelCall:
        first = text_start(here, call)
        if self.of == "odds":
            bias = call.query.new_zeros((*call.query.shape[:2], 1, call.key.shape[-2]))
            self._at_words(bias.mT, call, place, first).fill(
                math.log(self.factor) if self.factor else -math.inf
            )
            return replace(call, mask=_added(call, bias), causal=False)
        tensor = (call.value if self.of == "probability" else call.key).clone()
        self._at_words(tensor, call, place, first).scale(self.factor)
        return replace(call, value=tensor) if self.of == "probability" else replace(call, key=tensor)

    def _at_words(self, tensor: torch.Tensor, call: KernelCall, place: Place, first: int) -> _Spots:
        spots = []
        for row in place.rows.tolist():
            picture = call.pictures[row]
            assert picture is not None
            keys = indices([first + token for token in self.tokens[picture]], tensor.device)
            spots.append((row, place.heads[:, None], keys[None, :]))
        return _Spots(tensor, spots)


@dataclass(frozen=True)
class _Spots:
    """Parts `[row][head, key]` of a tensor `[row, head, key, …]`, to be changed in place."""

    tensor: torch.Tensor
    at: list[tuple[Any, ...]]

    def scale(self, factor: float) -> None:
        for spot in self.at:
            self.tensor[spot] *= factor

    def fill(self, value: float) -> None:
        for spot in self.at:
            self.tensor[spot] = value


def _added(call: KernelCall, bias: torch.Tensor) -> torch.Tensor:
    """A call's mask with numbers added, as an additive mask."""
    mask = call.mask
    if call.causal:
        queries, keys = call.query.shape[-2], call.key.shape[-2]
        mask = torch.ones(queries, keys, dtype=torch.bool, device=bias.device).tril()
    if mask is None:
        return bias
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=bias.dtype).masked_fill(~mask, -math.inf)
    return mask + bias


@dataclass(frozen=True)
class TextKeysAct(KernelAct):
    """The output of the same queries on the keys and values of another text; see `TextKeys`."""

    keys: TextKeys
    strength: float

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        def attend(call: KernelCall) -> torch.Tensor:
            out, place = inner(call), self.aim.place(call, here)
            part = call.part(place.rows, place.heads)
            made = []
            for index, picture in enumerate(part.pictures):
                assert picture is not None
                key, value, mask = self.keys(here, picture)
                alone = replace(
                    part.part(indices([index], call.query.device)),
                    key=key[None, place.heads].to(call.key),
                    value=value[None, place.heads].to(call.value),
                )
                alone = alone if mask is None else replace(alone, mask=mask)
                made.append(alone.run(silent_kernel))
            return place.blend(out, torch.cat(made), self.strength)

        return attend


@dataclass(frozen=True)
class PatchAct(KernelAct):
    """The donor's head output at the same step."""

    donor: Donor
    strength: float

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        def attend(call: KernelCall) -> torch.Tensor:
            out, place = inner(call), self.aim.place(call, here)
            given = self.donor.at(here).output
            _check_shape(self.donor, here, given, out[0])
            new = given.to(out)[place.heads][None].expand(len(place.rows), -1, -1, -1)
            return place.blend(out, new, self.strength)

        return attend


@dataclass(frozen=True)
class InjectAct(KernelAct):
    """The donor's probabilities with the run's own values: the kernel, given the donor's queries and keys."""

    donor: Donor
    strength: float

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        def attend(call: KernelCall) -> torch.Tensor:
            place = self.aim.place(call, here)
            given = self.donor.at(here)
            query, key = call.query.clone(), call.key.clone()
            _check_shape(self.donor, here, given.query, query[0])
            _check_shape(self.donor, here, given.key, key[0])
            query[place.at] = given.query.to(query)[place.heads]
            key[place.at] = given.key.to(key)[place.heads]
            donated = replace(call, query=query, key=key)
            if here.first and place.weight is None and self.strength == 1 and call.mask is given.mask is None:
                return inner(donated)
            # What earlier edits made of the run's own probabilities is replaced with them; and where the text is
            # masked, the donor's mask goes with its probabilities.
            mask = None if given.mask is None else given.mask.to(call.query.device)
            if mask is not None and mask.dim() == 4 and mask.shape[1] > 1:
                mask = mask[:, place.heads]
            part = replace(donated.part(place.rows, place.heads), mask=mask)
            return place.blend(inner(call), part.run(silent_kernel), self.strength)

        return attend


@dataclass(frozen=True)
class Context:
    """Where and when a `Custom` function is called.

    Attributes:
        site: name of the attention site.
        kind: ``cross``, ``self`` or ``joint``.
        step: index of the scheduler step.
        timestep: what the denoiser was given.
        grid: height and width of the site's cells.
        heads: numbers of the heads that the tensors hold.
        pictures: number of the picture of each row.
        text_start: index of the first text key; None at sites without.
        texts: tokens and words of each row's prompt, where they are known.
    """

    site: str
    kind: str
    step: int
    timestep: Any
    grid: tuple[int, int]
    heads: tuple[int, ...]
    pictures: tuple[int, ...]
    text_start: int | None
    texts: tuple[TextInfo, ...]


@dataclass(frozen=True)
class CustomAct(KernelAct):
    """What the user's function makes of the output. `texts`: of each picture."""

    texts: tuple[TextInfo, ...]

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        edit = self.aim.edit
        assert isinstance(edit, Custom)

        def attend(call: KernelCall) -> torch.Tensor:
            out, place = inner(call), self.aim.place(call, here)
            part, old = call.part(place.rows, place.heads), out[place.at]
            pictures = tuple(picture for picture in part.pictures if picture is not None)
            context = Context(
                site=here.site.name,
                kind=here.site.kind,
                step=here.moment.step,
                timestep=here.moment.call.timestep,
                grid=here.grid,
                heads=tuple(place.heads.tolist()),
                pictures=pictures,
                text_start=None if here.site.kind == "self" else text_start(here, call),
                texts=tuple(self.texts[picture] for picture in pictures) if self.texts else (),
            )
            new = edit.fn(part.query, part.key, part.value, old.clone(), context)
            if not isinstance(new, torch.Tensor) or new.shape != old.shape:
                shape = list(new.shape) if isinstance(new, torch.Tensor) else type(new).__name__
                raise EditError(
                    f"the function {edit.name} gave {shape} at {here.site.name}; it gives a tensor {list(old.shape)}, "
                    "[row, head, query, dim]"
                )
            return place.blend(out, new.to(out))

        return attend


@dataclass(frozen=True)
class ControlAct(KernelAct):
    """A random change in place of another edit's, of the same norm in each row. `of`: the other edit. The
    direction is of the seed alone, whichever place of a batch a picture has."""

    of: KernelAct
    seed: int

    def acts(self, site: str, step: int, number: int) -> bool:
        return self.of.acts(site, step, number)

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        def attend(call: KernelCall) -> torch.Tensor:
            out, place = inner(call), self.aim.place(call, here)

            def known(each: KernelCall) -> torch.Tensor:
                return out if each is call else silent(each)

            edited = self.of.around(known, known, here)(call)
            change = wide((edited - out)[place.at])
            made = out.clone()
            weight = None if place.weight is None else place.weight[None, :, None]
            for index, row in enumerate(place.rows.tolist()):
                at = (
                    self.seed,
                    here.site.name,
                    here.moment.step,
                    here.moment.number,
                    here.number,
                )
                random = random_like(change[index], at, weight)
                made[row, place.heads] += random.to(made)
            return made

        return attend


def text_start(here: Here, call: KernelCall) -> int:
    """Index of the first text key."""
    if here.site.kind != "joint" or here.site.text_first:
        return 0
    return int(call.key.shape[-2]) - here.moment.text


def _check_shape(donor: Donor, here: Here, given: torch.Tensor, mine: torch.Tensor) -> None:
    if given.shape != mine.shape:
        raise EditError(
            f"the donor {donor.name} has {list(given.shape)} at {here.site.name} where the run has {list(mine.shape)}: "
            "a donor is of the same model, picture size and text length"
        )
