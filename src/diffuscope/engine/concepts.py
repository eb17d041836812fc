"""The model's part in concepts: keys of any text, and output projections. (`learning` fits an embedding to a mask.)

Keys are taken at the attention kernel, as in a recording: each cross-attention module is run once, on one query of
zeros and the text's embedding, with a tap on it. So norms, adapters and fused projections count as they do when the
model draws, and that the model is the run's is shown by the run's own prompt, whose keys must come out as recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import Attended, tap
from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import InputError, NotKeptError, SelectionError, listed
from diffuscope.recording import TextInfo
from diffuscope.run import (
    CONCEPT_TOKENS,
    Against,
    ConceptKeys,
    ConceptView,
    LearnedConcept,
    Run,
    keep_concept,
)

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
"""Largest difference, relative to the largest key, at which keys are still those of the recorded prompt: what other
kernels and other hardware make of the same sums."""


class Concepts:
    """What a lens does with texts that the prompt need not have. `Lens` inherits it."""

    def concept(
        self,
        run: Run,
        what: str | Path | LearnedConcept,
        against: Against = "own",
    ) -> ConceptView:
        """A text that the run's prompt need not have, and where the picture looks for it; nothing is drawn again.

        Args:
            run: a recording of this model, of level `cross` or `qk`.
            what: a text of any number of words, a learned concept, or the path of its `.safetensors` file.
            against: `own` shares the softmax among the text's own tokens without padding (OVAM's way), `prompt` among
                the prompt's tokens and the concept's words.

        Returns:
            A view with the maps that words have (`map`, `steps`, `heads`). Its keys and maps go to the run's cache:
            later `run.concept(text)` finds them without the model.

        Raises:
            SelectionError: the run's attention is joint; InputError: the model is not the run's, or the text does not
                fit; NotKeptError: the run kept no queries.
        """
        return concept(cast("Lens", self), run, what, against)

    def learn_concept(
        self,
        run: Run,
        mask: NDArray[Any],
        name: str,
        **options: Any,
    ) -> LearnedConcept:
        """Fit the embedding of a token to one annotated picture, through the keys alone (OVAM's token optimisation).

        Two rows are fitted, one for the background and one for the concept, so that its map is near 1 inside the mask
        and near 0 outside: by Adam on binary cross-entropy and soft Dice.

        Args:
            run: a recording of this model, of level `cross` or `qk`.
            mask: `[y, x]` of any size, booleans or whole numbers: where the concept is in the run's picture.
            name: what it is called.
            **options: `start` (text to begin from; the name by default), `steps` (ten evenly spaced ones by default),
                `sites`, `iterations` (200), `rate` (0.05) and `dice` (0.5), the share of Dice in the loss.

        Returns:
            The concept, with its provenance; `save` writes it, and `concept` takes it for other runs of the model.

        Raises:
            as `concept`, and InputError for an empty mask.
        """
        from diffuscope.engine.learning import learn

        return learn(cast("Lens", self), run, mask, name, **options)

    def output_projections(
        self,
        run: Run,
    ) -> dict[str, NDArray[np.float32]]:
        """Site name to the part of its output projection that reads each head, `[head, dim, channel]`, for
        `Run.contributions(projections=...)`."""
        return output_projections(cast("Lens", self), run)


def concept(lens: Lens, run: Run, what: str | Path | LearnedConcept, against: Against = "own") -> ConceptView:
    """See `Lens.concept`."""
    check_run(lens, run)
    if isinstance(what, Path) or (isinstance(what, str) and what.endswith(".safetensors")):
        what = LearnedConcept.load(what)
    keys = _learned(lens, run, what) if isinstance(what, LearnedConcept) else _spoken(lens, run, what)
    keep_concept(run.recording, keys)
    return run.concept(keys, against)


def check_run(lens: Lens, run: Run) -> None:
    """Whether concepts can be asked of the run with this model.

    Raises:
        SelectionError: the run's attention is joint: its text keys depend on the picture and the block.
        NotKeptError: queries and keys were not kept.
        InputError: the model is not the one that drew the run.
    """
    joint = [site.name for site in run.sites if site.kind == "joint"]
    if joint and not any(site.kind == "cross" for site in run.sites):
        raise SelectionError(
            f"concepts need text keys that do not depend on the picture, and this model attends to both together "
            f"({listed(joint, 3)}); put the words into the prompt"
        )
    if run.manifest.keep.level == "maps":
        raise NotKeptError(
            "a concept is held against the queries of the run, which was recorded with keep='maps'; "
            "record again with keep='cross'"
        )
    sites = sites_of(lens, run)
    recorded = torch.from_numpy(np.array(run.recording.text("embedding"), np.float32))
    width = width_of(lens)
    if width is not None and recorded.shape[-1] != width:
        raise InputError(
            _other_model(run, f"its text embeddings have {width} channels, the run's {recorded.shape[-1]}")
        )
    tolerance = TOLERANCE.get(run.manifest.keep.dtype, 1e-1)
    for name, keys in keys_of(lens, sites, recorded).items():
        known = np.asarray(run.recording.text(f"k/{name}"), np.float32)
        ours = keys.detach().float().cpu().numpy()
        if known.shape != ours.shape or not np.abs(known - ours).max() <= tolerance * np.abs(known).max():
            raise InputError(
                _other_model(run, f"the prompt's keys at {name} come out otherwise than recorded")
            )


def _spoken(lens: Lens, run: Run, text: str) -> ConceptKeys:
    """Keys of a text, of its own tokens without padding."""
    label = " ".join(text.split())
    if not label:
        raise InputError("the concept is empty; name what to look for")
    info, embedding = encode(lens, label)
    if info.cut:
        raise InputError(
            f"the concept is too long: the text encoder reads {info.length} tokens, and {info.cut!r} did not fit"
        )
    own = [token for token in info.tokens if token.kind != "padding"]
    if not info.words:
        raise InputError(f"the concept {label!r} has no word; name what to look for")
    keys = keys_of(lens, sites_of(lens, run), embedding[: len(own)])
    return ConceptKeys(
        label,
        tuple(token.text for token in own),
        tuple(tuple(word.tokens) for word in info.words),
        {name: found.detach().float().cpu().numpy() for name, found in keys.items()},
        {"source": "text", "model": fingerprint(lens)},
    )


def _learned(lens: Lens, run: Run, learned: LearnedConcept) -> ConceptKeys:
    width = width_of(lens)
    if width is not None and learned.embedding.shape[1] != width:
        raise InputError(
            f"the concept {learned.name!r} was learned on a model with text embeddings of "
            f"{learned.embedding.shape[1]} channels; this one's have {width}"
        )
    mark = fingerprint(lens)
    theirs = learned.about.get("fingerprint")
    if theirs is not None and theirs != mark:
        raise InputError(
            f"the concept {learned.name!r} was learned on other weights "
            f"({learned.about.get('model', 'unknown model')}); an embedding means nothing to another model"
        )
    keys = keys_of(lens, sites_of(lens, run), torch.from_numpy(learned.embedding.copy()))
    return ConceptKeys(
        # In brackets, so that it is no text of the same name.
        f"<{learned.name}>",
        CONCEPT_TOKENS,
        ((1,),),
        {name: found.detach().float().cpu().numpy() for name, found in keys.items()},
        {"source": "learned", "model": mark},
    )


@torch.no_grad()
def encode(lens: Lens, text: str) -> tuple[TextInfo, torch.Tensor]:
    """A text as the pipeline reads and encodes a prompt: tokens, and embedding ``[token, channel]``."""
    made = lens.pipe.encode_prompt(
        text, device=lens.pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    conditional, _ = lens.family.embeddings(made)
    return lens.family.read_prompt(lens.pipe, text, {}).text, conditional[0]


def fingerprint(lens: Lens) -> str:
    """SHA-256 over the names and values of every cross-attention site's `to_k`: to which weights an embedding means
    what it means. Adapters on them count."""
    found = hashlib.sha256()
    for site in lens.sites:
        projection = getattr(site.module, "to_k", None)
        if site.kind == "cross" and projection is not None:
            for name, value in sorted(projection.state_dict().items()):
                found.update(f"{site.name} {name} {list(value.shape)} ".encode())
                found.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def output_projections(lens: Lens, run: Run) -> dict[str, NDArray[np.float32]]:
    """Part of each kept site's output projection that reads each head: site name to ``[head, dim, channel]``.

    Head h has columns ``h*dim`` to ``(h+1)*dim`` of the weight. Adapters on the projection count: it is asked for its
    answer to unit vectors.
    """
    modules = {site.name: site.module for site in lens.sites}
    found = {}
    for site in run.sites:
        out = getattr(modules.get(site.name), "to_out", None)
        linear = out[0] if isinstance(out, torch.nn.ModuleList) else out
        if site.name not in run.manifest.keep.sites or linear is None:
            continue
        like = next(linear.parameters())
        with torch.no_grad():
            unit = torch.eye(site.heads * site.head_dim, device=like.device, dtype=like.dtype)
            weight = (linear(unit) - linear(torch.zeros_like(unit[:1]))).float().cpu()
        found[site.name] = weight.reshape(site.heads, site.head_dim, -1).numpy()
    return found


def keys_of(lens: Lens, sites: Sequence[AttentionSite], embedding: torch.Tensor) -> dict[str, torch.Tensor]:
    """Keys ``[head, token, dim]`` of an embedding ``[token, channel]`` at each site, as the kernel receives them."""
    seen: dict[str, torch.Tensor] = {}

    def see(name: str, attended: Attended) -> None:
        seen.setdefault(name, attended.key[0])

    first = _projected(lens, embedding)
    with Patches() as patches:
        for site in sites:
            tap(patches, site.module, site.name, see)
            like = next(site.module.parameters())
            query = torch.zeros(1, 1, _query_width(site.module), device=like.device, dtype=like.dtype)
            try:
                site.module(query, encoder_hidden_states=first[None].to(device=like.device, dtype=like.dtype))
            except (RuntimeError, TypeError) as error:
                raise InputError(
                    f"{site.name} does not take the text as it is: {str(error)[:200]}"
                ) from error
    lacking = [site.name for site in sites if site.name not in seen]
    if lacking:
        raise InputError(
            f"no keys were seen at {listed(lacking)}; attention there goes around the fused kernel"
        )
    return seen


def _projected(lens: Lens, embedding: torch.Tensor) -> torch.Tensor:
    """The embedding as the blocks receive it: PixArt's denoiser projects it first."""
    projection = getattr(lens.family.denoiser(lens.pipe), "caption_projection", None)
    if projection is None:
        return embedding
    like = next(projection.parameters())
    made: torch.Tensor = projection(embedding.to(device=like.device, dtype=like.dtype))
    return made


def _query_width(module: torch.nn.Module) -> int:
    projection: Any = getattr(module, "to_q", None)
    width = getattr(module, "query_dim", None) or getattr(projection, "in_features", None)
    if not isinstance(width, int):
        raise InputError(f"{type(module).__name__} does not say how wide its queries are; concepts need that")
    return width


def width_of(lens: Lens) -> int | None:
    """Channels of the denoiser's text embeddings, where it says so."""
    config = lens.family.denoiser(lens.pipe).config
    width = getattr(config, "caption_channels", None) or getattr(config, "cross_attention_dim", None)
    return width if isinstance(width, int) else None


def sites_of(lens: Lens, run: Run) -> list[AttentionSite]:
    """The model's modules of the run's kept cross-attention sites."""
    modules = {site.name: site for site in lens.sites}
    kept = [site for site in run.sites if site.kind == "cross" and site.name in run.manifest.keep.sites]
    if not kept:
        raise NotKeptError(
            "no cross-attention site was kept in this run; record again with keep='cross', and without limiting sites"
        )
    lacking = [site.name for site in kept if site.name not in modules]
    if lacking:
        raise InputError(_other_model(run, f"it has no {listed(lacking, 3)}"))
    return [modules[site.name] for site in kept]


def _other_model(run: Run, why: str) -> str:
    return f"this model is not the one that drew the run ({run.manifest.model.id!r}): {why}"
