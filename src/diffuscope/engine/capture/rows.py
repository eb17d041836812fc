"""Which row of a batch is which: conditional or unconditional, and of which picture.

Guidance is laid out differently by different pipelines: one batch of [unconditional, conditional], the other way
round, separate forwards, or none. So rows are not told apart by position. The embeddings that the pipeline's own
`encode_prompt` returned are kept, and each row of a denoiser call is recognised by its conditioning.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from diffuscope.engine.capture.patches import Patches
from diffuscope.errors import CaptureError
from diffuscope.recording import Branch, RowLabel

Embeddings = Callable[[Sequence[Any]], tuple[torch.Tensor, torch.Tensor | None]]
"""See `Family.embeddings`."""


class RowReader:
    """Recognises rows by the embeddings seen at `encode_prompt`, one reader a recording."""

    def __init__(self, pictures: int, branch: Branch = "cond") -> None:
        """Args:
        pictures: how many are drawn together.
        branch: whose rows `read` gives.
        """
        self.pictures, self.branch = pictures, branch
        self.conditional: torch.Tensor | None = None
        self.unconditional: torch.Tensor | None = None
        self._last: tuple[torch.Tensor, int, tuple[list[RowLabel], list[int]]] | None = None

    def watch(self, patches: Patches, pipe: Any, embeddings: Embeddings) -> None:
        """Note what `pipe.encode_prompt` returns, until `patches` is left; `embeddings` finds the two in it."""
        encode = pipe.encode_prompt

        @functools.wraps(encode)
        def watched(*args: Any, **kwargs: Any) -> Any:
            made = encode(*args, **kwargs)
            conditional, unconditional = embeddings(made)
            if unconditional is None and self.conditional is not None:
                # Prompts that are encoded one by one: the negative one comes second.
                self.unconditional = conditional
            else:
                self.conditional, self.unconditional = conditional, unconditional
            return made

        patches.replace(pipe, "encode_prompt", watched)

    def read(self, conditioning: torch.Tensor) -> tuple[list[RowLabel], list[int]]:
        """Labels of the rows of `conditioning` `[row, token, channel]`, and the row of each picture that is kept: the
        conditional one, or that of the other branch.

        Raises:
            CaptureError: the rows are of embeddings that were never encoded, or hold the conditional embedding of
                some pictures and not of others.
        """
        if self.conditional is None:
            raise CaptureError("the pipeline never encoded a prompt, so its rows cannot be told apart")
        # Comparing waits for the device; most pipelines pass the same tensor at every step.
        last = self._last
        if last is not None and last[0] is conditioning and last[1] == conditioning._version:
            return last[2]
        read = self._of_branch(*self._read(conditioning))
        self._last = (conditioning, conditioning._version, read)
        return read

    def _of_branch(self, labels: list[RowLabel], conditional: list[int]) -> tuple[list[RowLabel], list[int]]:
        if self.branch == "cond":
            return labels, conditional
        found = [row for row, label in enumerate(labels) if label == "uncond"]
        if found and len(found) != self.pictures:
            raise CaptureError(
                f"a denoiser call holds {len(found)} unconditional rows where {self.pictures} pictures are drawn"
            )
        return labels, found

    def _read(self, conditioning: torch.Tensor) -> tuple[list[RowLabel], list[int]]:
        assert self.conditional is not None
        rows = len(conditioning)
        if conditioning is self.unconditional:
            # A forward of its own for the negative prompt, which may equal the prompt.
            return ["uncond"] * rows, []
        if self.unconditional is not None and rows == 2 * self.pictures and self._same(self.unconditional):
            # The negative prompt equals the prompt: both halves are alike, and so is whatever is read from them.
            halves: list[RowLabel] = ["uncond", "cond"]
            return [half for half in halves for _ in range(self.pictures)], list(range(self.pictures, rows))
        labels: list[RowLabel] = []
        of_picture: dict[int, int] = {}
        for row in range(rows):
            matches = [
                picture
                for picture in range(len(self.conditional))
                if picture not in of_picture and torch.equal(conditioning[row], self.conditional[picture])
            ]
            if matches:
                # Several pictures of one prompt have equal embeddings; their rows come in the pictures' order.
                of_picture[matches[0]] = row
                labels.append("cond")
            elif self.unconditional is not None and any(
                torch.equal(conditioning[row], u) for u in self.unconditional
            ):
                labels.append("uncond")
            else:
                labels.append("other")
        found = [of_picture[picture] for picture in sorted(of_picture)]
        if not found and "other" in labels:
            raise CaptureError(
                "no row of a denoiser call has the embedding that encode_prompt gave: the pipeline alters embeddings "
                "on the way, and recording would keep nothing; record it without that option"
            )
        if found and len(found) != self.pictures:
            raise CaptureError(
                f"a denoiser call holds the conditional rows of {len(found)} pictures where {self.pictures} are drawn"
            )
        return labels, found

    def _same(self, other: torch.Tensor) -> bool:
        assert self.conditional is not None
        return other.shape == self.conditional.shape and torch.equal(other, self.conditional)
