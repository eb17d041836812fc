"""Donors: what heads received and put out in another run, for edits that bring it into this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from diffuscope.engine.apply.at_kernel import Here, KernelCall
from diffuscope.engine.apply.following import Following
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import Interposed, interpose
from diffuscope.engine.models.family import AttentionSite, Family
from diffuscope.errors import EditError, listed


@dataclass(frozen=True)
class Donated:
    """One attention call of a donor's conditional row: `output` and `query` `[head, query, dim]`, `key` `[head, key,
    dim]`, `mask` as the kernel received it, of this row alone, or None."""

    output: torch.Tensor
    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Needs:
    """What an edit needs of a donor: sites and steps."""

    sites: frozenset[str]
    steps: frozenset[int]

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.sites | other.sites, self.steps | other.steps)


@dataclass
class Donor:
    """What was gathered of a donor run, or given.

    Attributes:
        name: by which edits name it.
        steps: how many steps it has.
        calls: `(site, step, number)` to what was there; `number` counts a step's calls with conditional rows.
    """

    name: str
    steps: int
    calls: dict[tuple[str, int, int], Donated] = field(default_factory=dict)

    def at(self, here: Here) -> Donated:
        """What it has where an edit is at work.

        Raises:
            EditError: nothing.
        """
        found = self.calls.get((here.site.name, here.moment.step, here.moment.number))
        if found is None:
            raise EditError(
                f"the donor {self.name} has nothing at {here.site.name} in step {here.moment.step}, "
                f"call {here.moment.number}: it needs the same scheduler and number of steps"
            )
        return found

    def check(self, needs: Needs, steps: int | None) -> None:
        """See that it has what is needed.

        Raises:
            EditError: it has other sites, another number of steps, or not all of them.
        """
        sites = {site for site, _, _ in self.calls}
        lacking = sorted(needs.sites - sites)
        if lacking:
            raise EditError(
                f"the donor {self.name} has no {listed(lacking)}: a donor has the sites of the run"
            )
        if steps is not None and self.steps != steps:
            raise EditError(
                f"the donor {self.name} has {self.steps} steps and the run {steps}: a donor has as many"
            )
        have = {(site, step) for site, step, _ in self.calls}
        gaps = sorted({step for site in needs.sites for step in needs.steps if (site, step) not in have})
        if gaps:
            raise EditError(
                f"the donor {self.name} has nothing of steps {listed([str(step) for step in gaps])}"
            )


class _Gather(Interposed):
    """Keeps what one site receives and puts out in the steps that are needed."""

    def __init__(
        self, site: AttentionSite, steps: frozenset[int], following: Following, picture: int, donor: Donor
    ) -> None:
        super().__init__()
        self._site, self._steps, self._following = site, steps, following
        self._picture, self._donor = picture, donor

    def attend(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = func(*args, **kwargs)
        moment = self._following.now
        if moment is None or not moment.rows or moment.step not in self._steps:
            return output
        key = (self._site.name, moment.step, moment.number)
        # The module's first kernel call is the text's.
        if key not in self._donor.calls:
            row = torch.tensor([moment.rows[self._picture]], device=output.device)
            call = KernelCall.of(moment.pictures[: output.shape[0]], args, kwargs).part(row)
            mask = None if call.mask is None else call.mask.clone()
            self._donor.calls[key] = Donated(output[row[0]].clone(), call.query[0], call.key[0], mask)
        return output


def gathered(
    pipe: Any,
    family: Family,
    draw: Callable[[], Any],
    needs: Needs,
    *,
    name: str,
    pictures: int = 1,
    picture: int = 0,
) -> Donor:
    """Draw a donor run, and keep what is needed of one picture's conditional row, on the model's device.

    Args:
        pipe, family: the pipeline and its adapter.
        draw: calls the pipeline.
        needs: which sites and steps.
        name: of the donor.
        pictures: how many the call draws together; `picture`: which of them is the donor.

    Raises:
        EditError: the model has not all the sites.
    """
    sites = {site.name: site for site in family.sites(pipe)}
    lacking = sorted(needs.sites - sites.keys())
    if lacking:
        raise EditError(f"the donor {name} has no {listed(lacking)}")
    donor = Donor(name, 0)
    denoiser = family.denoiser(pipe)
    following = Following(pipe, family, pictures)
    with Patches() as patches:
        following.install(patches)
        forward = denoiser.forward

        def followed(*args: Any, **kwargs: Any) -> Any:
            following.begin(family.call(args, kwargs))
            try:
                return forward(*args, **kwargs)
            finally:
                following.end()

        followed.__wrapped__ = forward  # type: ignore[attr-defined]
        patches.replace(denoiser, "forward", followed)
        for each in sorted(needs.sites):
            interpose(
                patches, sites[each].module, _Gather(sites[each], needs.steps, following, picture, donor)
            )
        with torch.no_grad():
            draw()
        donor.steps = following.total
    return donor
