"""CLIP score: how well a picture and a caption fit, by the pair of encoders that comes with the drawn world.

The score is `max(100 cos, 0)` of the two embeddings (Hessel et al. 2021, CLIPScore, section 3, who weigh the cosine by
2.5 where the field has settled on 100). The pair was trained on drawn scenes and their captions, apart from the judge,
so the two can disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from diffuscope.errors import InputError, ModelNotFoundError, SizeError

BATCH = 64


def shipped_pair() -> Path:
    """The folder of the pair that comes with the package."""
    return Path(str(files("diffuscope.scenes"))) / "clip"


def clip_score(cosine: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosines -1 to 1, of any shape, to CLIP scores, 0 to 100."""
    return np.maximum(100.0 * np.asarray(cosine, np.float64), 0.0)


class ClipPair:
    """Image and text encoder with a common space. `ClipPair.load()` opens the one that comes with the package."""

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def load(cls, folder: str | Path | None = None, *, device: str | torch.device = "cpu") -> ClipPair:
        """Open a pair in float32.

        Args:
            folder: of a CLIP model and its tokenizer in the layout of transformers; the shipped one by default.
            device: where it runs.

        Raises:
            ModelNotFoundError: there is no such model in the folder.
        """
        place = shipped_pair() if folder is None else Path(folder)
        if not (place / "config.json").is_file():
            raise ModelNotFoundError(
                f"no CLIP pair in {place}; reinstall diffuscope, or make it with `python -m training` from a clone"
            )
        model = CLIPModel.from_pretrained(place, dtype=torch.float32)
        return cls(model.to(device), CLIPTokenizer.from_pretrained(place))

    @torch.no_grad()
    def pictures(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings `[picture, channel]` of length 1 of uint8 sRGB pictures `[y, x, channel]`.

        Raises:
            SizeError: pictures of another size than the encoder's.
        """
        side = int(self.model.config.vision_config.image_size)
        found = []
        for start in range(0, len(images), BATCH):
            batch = np.stack([np.asarray(image) for image in images[start : start + BATCH]])
            if batch.shape[1:] != (side, side, 3) or batch.dtype != np.uint8:
                raise SizeError(
                    f"the pair reads uint8 pictures of shape ({side}, {side}, 3), got {batch.dtype} {batch.shape[1:]}"
                )
            # As in training: values in -1 to 1.
            pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float().div(127.5).sub(1)
            seen = self.model.vision_model(pixels.to(self.model.device)).pooler_output
            found.append(functional.normalize(self.model.visual_projection(seen), dim=-1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.model.config.projection_dim), np.float32)

    @torch.no_grad()
    def captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings `[caption, channel]` of length 1. What does not fit into the text encoder is cut."""
        length = int(self.model.config.text_config.max_position_embeddings)
        found = []
        for start in range(0, len(captions), BATCH):
            ids = self.tokenizer(
                list(captions[start : start + BATCH]),
                padding="max_length",
                max_length=length,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            states = self.model.text_model(ids.to(self.model.device)).last_hidden_state
            # The first end token, as in training: padding repeats it.
            end = (ids == self.tokenizer.eos_token_id).int().argmax(dim=1)
            told = states[torch.arange(len(ids)), end.to(states.device)]
            found.append(functional.normalize(self.model.text_projection(told), dim=-1).cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.model.config.projection_dim), np.float32)

    def cosines(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], captions: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of every picture with every caption, `[picture, caption]`."""
        return self.pictures(images) @ self.captions(captions).T

    def scores(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], captions: Sequence[str]
    ) -> NDArray[np.float64]:
        """CLIP score `[picture]` of each picture with its own caption.

        Raises:
            InputError: not as many captions as pictures.
        """
        if len(images) != len(captions):
            raise InputError(
                f"each picture needs its caption: got {len(images)} pictures, {len(captions)} captions"
            )
        return clip_score((self.pictures(images) * self.captions(captions)).sum(axis=1))
