"""The map that DAAM computes, to the letter, for those who want to compare.

Tang et al., "What the DAAM: Interpreting Stable Diffusion Using Cross Attention", ACL 2023, and the published code
(castorini/daam, `trace.py` and `heatmap.py`):

- the text attention of the blocks on the way down and up; the middle one is not hooked;
- of these, sites whose keys are as many as the text encoder's tokens (77 in its code, the run's own number here) and
  whose factor ``int(sqrt(latent patches // site patches))`` is not 8;
- for each site and head, the *sum* over all calls of the denoiser, conditional row;
- brought to the latent's size by bicubic interpolation (a = -0.75, ``align_corners=False``), clamped at 0;
- the mean over sites and heads together, so a site with more heads counts for more;
- for a word, the mean over its tokens. A phrase is the mean over all of its tokens, and so is a word that the prompt
  has twice: ``["circle", "circle#2"]`` is what DAAM gives for "circle", which it cannot tell apart.

The values are sums over steps, no probabilities: they grow with the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import RecordingError, SelectionError, listed
from diffuscope.maps.attention import probabilities
from diffuscope.maps.cache import RunCache
from diffuscope.maps.choosing import chosen_heads, chosen_sites, chosen_steps, grid_of
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.resize import Size, resize
from diffuscope.maps.token_attention import places_of

if TYPE_CHECKING:
    from diffuscope.maps.word_view import WordView
    from diffuscope.recording import Recording, Site
    from diffuscope.selection import Selection

UNIT = "attention probability, summed over steps (DAAM)"
SKIPPED_FACTOR = 8


def daam(view: WordView, selection: Selection) -> Heatmap:
    """DAAM's map of a word, ``[y, x]`` of the latent's size. See `WordView.daam`."""
    recording = view.run.recording
    steps = chosen_steps(recording, selection)
    sites = daam_sites(recording, chosen_sites(recording, selection))
    heads = chosen_heads(sites, selection)
    stack = _stack(recording, sites, steps, heads, view.tokens)
    count = sum(len(each) for each in heads.values())
    row = "Conditional" if recording.manifest.keep.branch == "cond" else "Unconditional"
    return Heatmap(
        np.mean([stack[token] for token in view.tokens], axis=0),
        selection,
        view.label,
        UNIT,
        f"As DAAM: sum over {len(steps)} steps, bicubic to {stack[view.tokens[0]].shape[0]}x"
        f"{stack[view.tokens[0]].shape[1]}, clamped at 0, mean over {count} heads of {len(sites)} sites (middle "
        f"block and factor 8 left out), mean over tokens. {row} branch.",
        background=view.run._background,
    )


def daam_sites(recording: Recording, sites: Sequence[Site]) -> list[Site]:
    """Those of the sites that DAAM takes.

    Raises:
        SelectionError: none of them.
    """
    cells = math.prod(latent_size(recording))
    taken = []
    for site in sites:
        place = site.name.removeprefix("cross:")
        hooked = place.split(".")[0] in ("down", "up") and not place.endswith(".attn1")
        factor = math.isqrt(cells // math.prod(site.grid))
        if hooked and site.keys == recording.manifest.text.length and factor != SKIPPED_FACTOR:
            taken.append(site)
    if not taken:
        raise SelectionError(
            f"DAAM leaves out every chosen site ({listed([site.name for site in sites])}): it takes those of down and "
            f"up blocks whose grid is not {SKIPPED_FACTOR} times coarser than the latent"
        )
    return taken


def latent_size(recording: Recording) -> Size:
    """``(height, width)`` of the run's latent."""
    first = recording.manifest.steps[0]
    height, width = recording.latent(first.index).shape[-2:]
    return height, width


def daam_maps(
    recording: Recording,
    sites: Sequence[Site],
    steps: Sequence[int],
    heads: Mapping[str, Sequence[int]],
    tokens: Sequence[int],
) -> NDArray[np.float32]:
    """DAAM's maps ``[token, y, x]`` of some tokens, computed from queries and keys.

    Raises:
        NotKeptError: they were not kept.
        RecordingError: they hold NaN or infinity.
    """
    size, asked = latent_size(recording), list(tokens)
    calls = [(step, call.index) for step in steps for call in recording.step(step).calls if call.row >= 0]
    total, count = np.zeros((len(asked), *size)), 0
    for site in sites:
        places = places_of(heads[site.name], recording.heads(site.name), site.name)
        summed = np.zeros((len(places), len(asked), *grid_of(site)))
        for step, call in calls:
            q, k = recording.query(site.name, step, call), recording.keys(site.name, step, call)
            for index, head in enumerate(places):
                mask = recording.mask(site.name, step, call)
                part = mask if mask is None or len(mask) == 1 else mask[head : head + 1]
                group = len(q) // len(k)
                own = probabilities(
                    q[head : head + 1], k[head // group : head // group + 1], site.scale, part
                )[0]
                summed[index] += own[:, asked].T.reshape(len(asked), *grid_of(site))
        total += np.clip(resize(summed, size, "bicubic"), 0.0, None).sum(axis=0)
        count += len(places)
    if not np.isfinite(total).all():
        raise RecordingError("the recorded attention holds NaN or infinity; record it again in float32")
    return np.asarray(total / count, np.float32)


def _stack(
    recording: Recording,
    sites: Sequence[Site],
    steps: Sequence[int],
    heads: Mapping[str, Sequence[int]],
    tokens: Sequence[int],
) -> dict[int, NDArray[np.float32]]:
    """Token to its map. All tokens but padding cost as much as one, so they are computed together and kept."""
    shown = [token.index for token in recording.manifest.text.tokens if token.kind != "padding"]
    wanted = sorted({*shown, *tokens})
    cache = RunCache(recording)
    key = {
        "steps": " ".join(map(str, steps)),
        "heads": " ".join(f"{site.name}:{','.join(map(str, heads[site.name]))}" for site in sites),
        "tokens": " ".join(map(str, wanted)),
    }
    kept = cache.read("daam", key)
    if kept is None:
        kept = {"maps": daam_maps(recording, sites, steps, heads, wanted)}
        cache.write("daam", key, kept)
    return dict(zip(wanted, kept["maps"], strict=True))
