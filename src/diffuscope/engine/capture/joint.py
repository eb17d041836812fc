"""Joint attention: one sequence of text and picture, whose parts and maps these functions find.

The softmax runs over text and picture together, so a word's probability is taken of the whole row: with the row's
log-sum-exp as the kernel computed it, or else one computed here, a block of queries at a time.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from diffuscope.engine.capture.kept import HALF, LSE_ERROR, logits
from diffuscope.engine.capture.tap import Attended
from diffuscope.errors import UnsupportedAttentionError
from diffuscope.recording import Site

PATCH = 2
"""Side of a packed latent's patches."""

BLOCK = 2**25
"""Products that are held at a time while a log-sum-exp is computed: 256 MiB in float64."""

SURE = 1e-6 / LSE_ERROR
"""Head-mean probability up to which a kernel's log-sum-exp, off by `LSE_ERROR` at most, gives it to 1e-6. One larger
than `kept.LSE_LARGE` gives it as well as is promised relatively."""


def grid_of(positions: torch.Tensor) -> tuple[int, int]:
    """Height and width of packed latents in patches, of the positions `[patch, …, y, x]` of each.

    Raises:
        UnsupportedAttentionError: the patches are not one grid, row by row from the top left (a reference picture
            beside the one that is drawn, for example).
    """
    places = (positions if positions.dim() == 2 else positions[0])[:, -2:].long().cpu()
    height, width = (int(side) + 1 for side in places.amax(dim=0))
    whole = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    if not torch.equal(places, whole):
        raise UnsupportedAttentionError(
            f"the model is given {len(places)} patches that are not the cells of one picture (a reference picture "
            "beside it?); recording knows pictures alone"
        )
    return height, width


def unpacked(latents: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Packed latents `[row, patch, channel * 4]` as `[row, channel, y, x]`, twice as many cells as patches each way."""
    rows, _, channels = latents.shape
    height, width = grid
    apart = latents.reshape(rows, height, width, channels // PATCH**2, PATCH, PATCH)
    return apart.permute(0, 3, 1, 4, 2, 5).reshape(rows, -1, height * PATCH, width * PATCH)


def packed(latents: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """What `unpacked` made these latents of."""
    rows, channels = latents.shape[:2]
    height, width = grid
    apart = latents.reshape(rows, channels, height, PATCH, width, PATCH)
    return apart.permute(0, 2, 4, 1, 3, 5).reshape(rows, height * width, channels * PATCH**2)


def parts(
    name: str, seen: Attended, *, text: int, cells: int, text_first: bool
) -> tuple[list[int], list[int]]:
    """Where text and picture stand in a joint site's sequence, each `[start, stop]`.

    Args:
        name: of the site.
        seen: what its kernel was given.
        text: number of text tokens that the denoiser was given.
        cells: number of the picture's cells.
        text_first: the family's order.

    Raises:
        UnsupportedAttentionError: the sequence is another one.
    """
    queries, keys = seen.query.shape[-2], seen.key.shape[-2]
    if not queries == keys == text + cells:
        raise UnsupportedAttentionError(
            f"{name} has {queries} queries and {keys} keys, which are not {text} text tokens and {cells} cells together"
        )
    if seen.causal:
        raise UnsupportedAttentionError(
            f"{name} is causal, which a sequence of text and picture cannot be read as"
        )
    return ([0, text], [text, keys]) if text_first else ([cells, keys], [0, cells])


@torch.no_grad()
def joint_word_map(seen: Attended, row: int, site: Site, tokens: int, *, lse_holds: bool) -> torch.Tensor:
    """Head-mean probability of the first `tokens` text keys at each cell of one row, float32 `[token, cell]`.

    Args:
        seen: what the kernel was given.
        row: of the batch.
        site: the joint site; `text_keys` and `image_keys` say where its parts are.
        tokens: how many.
        lse_holds: whether the kernel's log-sum-exp is good (`kept.lse_error`); else it is computed.
    """
    assert site.text_keys is not None and site.image_keys is not None
    cells, first = slice(*site.image_keys), site.text_keys[0]
    products, every = (
        logits(part(seen, cells, slice(first, first + tokens)), row),
        part(seen, cells, slice(None)),
    )
    if not lse_holds or seen.lse is None:
        return _mean(products, log_sum_exp(every, row)).T
    found = _mean(products, seen.lse[row][:, cells])
    if seen.query.dtype in HALF:
        # Rounded as the queries and keys are, a kernel's own precision is enough.
        return found.T
    strong = (found.amax(dim=-1) > SURE).nonzero()[:, 0]
    if len(strong):
        found[strong] = _mean(products[:, strong], log_sum_exp(every, row, strong))
    return found.T


def _mean(products: torch.Tensor, lse: torch.Tensor) -> torch.Tensor:
    """Head-mean probabilities, float32 `[query, key]`."""
    # A row that may attend to nothing is 0, as the kernel makes it.
    powers = (products - lse.to(products.dtype)[..., None]).float().exp().nan_to_num_(0.0)
    return powers.mean(dim=0)


def part(seen: Attended, queries: slice, keys: slice) -> Attended:
    """The call with some of its queries and keys alone, masks with them."""
    mask = seen.mask
    if mask is not None:
        mask = mask[..., queries, :] if mask.shape[-2] > 1 else mask
        mask = mask[..., keys] if mask.shape[-1] > 1 else mask
    return replace(
        seen,
        query=seen.query[..., queries, :],
        key=seen.key[..., keys, :],
        value=seen.value[..., keys, :],
        mask=mask,
        lse=None,
    )


@torch.no_grad()
def log_sum_exp(seen: Attended, row: int, queries: torch.Tensor | None = None) -> torch.Tensor:
    """Natural log-sum-exp of queries' scaled and masked products, float64 `[head, query]` (float32 on devices without
    float64); of all when `queries`, their indices, is None."""
    heads, keys = seen.query.shape[-3], seen.key.shape[-2]
    every = torch.arange(seen.query.shape[-2], device=seen.query.device) if queries is None else queries
    blocks = every.split(max(1, BLOCK // (heads * keys)))
    return torch.cat([logits(seen, row, block).logsumexp(dim=-1) for block in blocks], dim=-1)
