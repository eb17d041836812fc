"""A concept learned from one picture: a text embedding fitted to a mask, through the keys alone.

Marcos-Manchón et al., "Open-Vocabulary Attention Maps with Token Optimization", CVPR 2024, section 3.3. Unlike there,
the map is not stretched to 0..1 before it is compared with the mask: with two rows it is a probability already.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from diffuscope.engine.concepts import check_run, encode, fingerprint, keys_of, sites_of
from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import InputError, NotKeptError, RecordingError, listed
from diffuscope.run import LearnedConcept, Run
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

MOST_STEPS = 10
"""Steps of a run that an embedding is fitted to, evenly spaced, where none are named."""


def learn(
    lens: Lens,
    run: Run,
    mask: NDArray[Any],
    name: str,
    *,
    start: str | None = None,
    steps: Choice = None,
    sites: SiteChoice = None,
    iterations: int = 200,
    rate: float = 0.05,
    dice: float = 0.5,
) -> LearnedConcept:
    """See `Lens.learn_concept`."""
    if not name.strip() or iterations < 1 or not rate > 0 or not 0 <= dice <= 1:
        raise InputError("a concept has a name; iterations is 1 or more, rate above 0, dice between 0 and 1")
    check_run(lens, run)
    chosen = sites_of(lens, run)
    names = Selection.of(sites=sites).resolve_sites([site.name for site in chosen], "cross")
    chosen = [site for site in chosen if site.name in names]
    size = max((grid_of(run, site.name) for site in chosen), key=math.prod)
    target = _target(mask, size).to(lens.pipe.device)
    indices = _fitted_steps(run, steps)
    queries = {site.name: _queries(run, site.name, indices).to(lens.pipe.device) for site in chosen}

    info, embedding = encode(lens, " ".join((start or name).split()))
    words = sorted({token for word in info.words for token in word.tokens})
    if not words:
        raise InputError(f"start={start or name!r} has no word to begin from")
    # What draws attention where no word does, and the words' mean.
    begin = torch.stack([embedding[0], embedding[words].mean(dim=0)]).float()
    with torch.no_grad():
        plain = _plain(lens, chosen, begin)
    fitted = begin.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([fitted], lr=rate)
    best, best_loss, losses = begin, math.inf, []
    with torch.enable_grad():
        for _ in range(iterations + 1):
            shown = _map(lens, run, chosen, queries, fitted, size, plain)
            loss = (1 - dice) * functional.binary_cross_entropy(shown, target) + dice * _dice(shown, target)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise RecordingError("the recorded queries hold NaN or infinity; record again in float32")
            if losses[-1] < best_loss:
                best, best_loss = fitted.detach().clone(), losses[-1]
            # Through the keys alone: the model's own parameters get no gradient.
            (fitted.grad,) = torch.autograd.grad(loss, [fitted])
            optimiser.step()
    model = run.manifest.model
    about = {
        "run": run.id,
        "prompt": run.prompt,
        "seed": run.manifest.sampling.seed,
        "model": model.id,
        "fingerprint": fingerprint(lens),
        "mask": hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest(),
        "start": start or name,
        "steps": list(indices),
        "sites": [site.name for site in chosen],
        "iterations": iterations,
        "rate": rate,
        "dice": dice,
        "loss": [losses[0], best_loss],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return LearnedConcept(" ".join(name.split()), best.cpu().numpy().astype(np.float32), about)


def _map(
    lens: Lens,
    run: Run,
    sites: Sequence[AttentionSite],
    queries: Mapping[str, torch.Tensor],
    embedding: torch.Tensor,
    size: tuple[int, int],
    plain: Mapping[str, Any],
) -> torch.Tensor:
    """The concept's map ``[y, x]``, as `ConceptView.map` makes it: mean over heads, sites, steps."""
    total = torch.zeros(size, device=embedding.device)
    found = {}
    for site in sites:
        if site.name in plain:
            like = next(plain[site.name].parameters())
            keys = plain[site.name](embedding.to(device=like.device, dtype=like.dtype))
            heads = queries[site.name].shape[1]
            found[site.name] = keys.unflatten(-1, (heads, -1)).transpose(0, 1)
    found |= keys_of(lens, [site for site in sites if site.name not in plain], embedding)
    for name, keys in found.items():
        # A softmax over two keys is the sigmoid of their difference.
        between = (keys[:, 1] - keys[:, 0]).float()[None, :, :, None]
        scores = (queries[name] @ between)[..., 0] * run.recording.site(name).scale
        own = scores.sigmoid().mean(dim=(0, 1)).reshape(1, 1, *grid_of(run, name))
        total = total + functional.interpolate(own, size=size, mode="bilinear", align_corners=False)[0, 0]
    # A mean of probabilities; the clamp keeps rounding out of the logarithm.
    return (total / len(sites)).clamp(1e-6, 1 - 1e-6)


def _dice(shown: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 less the soft Dice coefficient (Milletari et al. 2016, section 3, with plain sums)."""
    return 1 - (2 * (shown * target).sum() + 1) / (shown.sum() + target.sum() + 1)


def _plain(lens: Lens, sites: Sequence[AttentionSite], embedding: torch.Tensor) -> dict[str, Any]:
    """`to_k` of the sites whose keys are nothing but its output, cut into heads: fitting asks them directly."""
    if getattr(lens.family.denoiser(lens.pipe), "caption_projection", None) is not None:
        return {}
    found = {}
    for name, keys in keys_of(lens, sites, embedding).items():
        projection = next(getattr(site.module, "to_k", None) for site in sites if site.name == name)
        if projection is not None:
            like = next(projection.parameters())
            direct = projection(embedding.to(device=like.device, dtype=like.dtype))
            if torch.equal(direct.unflatten(-1, (len(keys), -1)).transpose(0, 1), keys):
                found[name] = projection
    return found


def grid_of(run: Run, site: str) -> tuple[int, int]:
    height, width = run.recording.site(site).grid
    return height, width


def _fitted_steps(run: Run, steps: Choice) -> tuple[int, ...]:
    attended = run.recording.attended_steps
    if not attended:
        raise NotKeptError("no step of this run kept its attention")
    if steps is not None:
        wanted = Selection.of(steps=steps).resolve_steps(attended[-1] + 1)
        lacking = [str(step) for step in wanted if step not in attended]
        if lacking:
            raise NotKeptError(f"attention of these steps was not kept: {listed(lacking)}")
        return wanted
    places = np.linspace(0, len(attended) - 1, min(MOST_STEPS, len(attended))).round().astype(int)
    return tuple(attended[place] for place in places)


def _queries(run: Run, site: str, steps: Sequence[int]) -> torch.Tensor:
    """``[step, head, query, dim]`` float32, of all heads."""
    described = run.recording.site(site)
    if len(run.recording.heads(site)) < described.heads:
        raise NotKeptError(f"learning needs every head of {site}; record again with keep_heads='all'")
    return torch.from_numpy(
        np.stack([np.asarray(run.recording.query(site, step), np.float32) for step in steps])
    )


def _target(mask: NDArray[Any], size: tuple[int, int]) -> torch.Tensor:
    """The mask's share of each cell, float32 ``[y, x]``.

    Raises:
        InputError: it is no mask, or leaves one of the two sides empty.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise InputError(
            f"a mask is [y, x] of booleans or whole numbers (0 is outside); got {array.dtype} {array.shape}"
        )
    inside = torch.from_numpy((array != 0).astype(np.float32))
    if not 0 < float(inside.mean()) < 1:
        raise InputError(
            "the mask is empty or covers the whole picture; mark where the concept is and where it is not"
        )
    return functional.interpolate(inside[None, None], size=size, mode="area")[0, 0]
