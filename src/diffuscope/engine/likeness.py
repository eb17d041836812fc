"""How like two texts are to a model: the cosine of what its text encoder makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from diffuscope.analysis.steerable import Target, asked, targets
from diffuscope.engine.apply.texts import Speaker
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.rerun import check_model
from diffuscope.run import Run

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens


def targets_of(lens: Lens, run: Run, concept: str) -> tuple[Target, ...]:
    """See `Lens.targets`."""
    check_model(run.manifest, lens)
    return targets(run, concept, similarity=likeness(lens, concept, asked(run)))


def likeness(lens: Lens, text: str, others: Sequence[str]) -> dict[str, float]:
    """Cosine of the mean embedding of a text's content tokens with that of each other text, each encoded by itself.
    Where a model has several text encoders, of the first that reads the text."""
    spoken = _means(lens, [text, *others])
    if spoken.get(text) is None:
        return {}
    mine = spoken[text]
    return {
        other: float(torch.nn.functional.cosine_similarity(mine, spoken[other], dim=0))
        for other in others
        if spoken.get(other) is not None
    }


@torch.no_grad()
def _means(lens: Lens, texts: Sequence[str]) -> dict[str, Any]:
    """The mean embedding `[channel]` of each text's content tokens; None of one that has none."""
    pipe, family = lens.pipe, lens.family
    speaker = Speaker(pipe, family)
    for text in texts:
        speaker.want(text)
    found: dict[str, Any] = {}
    with Patches() as patches:
        speaker.install(patches)
        pipe.encode_prompt(**_arguments(pipe, texts[0]))
        for text in texts:
            read = family.read_prompt(pipe, text, {}).text
            spans = [(each.start, each.stop) for each in read.encoders] or [(0, read.length)]
            content = [token.index for token in read.tokens if token.kind == "content"]
            parts = [[index for index in content if start <= index < stop] for start, stop in spans]
            tokens = next((part for part in parts if part), None)
            found[text] = None if tokens is None else speaker(text).embedding[tokens].double().mean(dim=0)
    return found


def _arguments(pipe: Any, prompt: str) -> dict[str, Any]:
    """What the pipeline's `encode_prompt` needs to read one prompt."""
    known = {
        "prompt": prompt,
        "device": getattr(pipe, "_execution_device", pipe.device),
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": False,
    }
    taken = inspect.signature(pipe.encode_prompt).parameters
    needed = {name: None for name, each in taken.items() if each.default is inspect.Parameter.empty}
    return {**needed, **{name: value for name, value in known.items() if name in taken}}
