"""Edits done a second time, by other means than the package's: what edited drawings are compared with.

UNets get attention processors that write the softmax out; models of joint attention have PyTorch's kernel exchanged for
a function that does. Each calls a function of the test with everything that one attention call is made of, which
returns the heads' output with the edit in it. Which rows are conditional, which call is which step, how the picture
lies on a grid: all of it is this file's own arithmetic. In float64, where two ways of computing agree to many digits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from diffuscope.edits import Edit, PatchChoice
from diffuscope.engine.apply import Donor, applied, gathered, needs
from diffuscope.engine.lens import Lens
from diffuscope.testing import random_pipeline

HEIGHT, WIDTH, STEPS, PROMPT = 16, 32, 3, "a red cat"
UNETS = ("sd15", "sdxl")
JOINT = ("sd3", "flux")
EVERY = (*UNETS, "pixart", *JOINT)
CELLS = 32
KEYS = {"sd15": [3], "sdxl": [3], "pixart": [2], "sd3": [CELLS + 3, CELLS + 22], "flux": [2]}
"""Where "cat" is among the keys of each family's text: after the start token; in SD3, where the text follows the
picture, once of CLIP and once of T5."""
WINDOW, STEP = "1", 1
PART = (4, 2, 13, 9)
SOME = PatchChoice.box(*PART)

_pipes: dict[str, Any] = {}


def tiny(family: str) -> Any:
    """A peaked pipeline in float64, made once."""
    if family not in _pipes:
        _pipes[family] = random_pipeline(family, dtype=torch.float64)
    return _pipes[family]


def arguments(family: str) -> dict[str, Any]:
    """Further arguments of the pipeline's call."""
    further: dict[str, Any] = {}
    if family not in UNETS:
        further["max_sequence_length"] = 24
    if family == "pixart":
        further |= {"use_resolution_binning": False, "clean_caption": False}
    return further


def draw(family: str, prompt: str = PROMPT, seed: int = 0, **call: Any) -> torch.Tensor:
    """The latents that the pipeline ends with."""
    call = {"num_inference_steps": STEPS, "height": HEIGHT, "width": WIDTH, **arguments(family), **call}
    generator = torch.Generator().manual_seed(seed)
    made: torch.Tensor = tiny(family)(prompt, generator=generator, output_type="latent", **call).images
    return made


@dataclass
class Seen:
    """One attention call: module path, step, tensors `[row, head, position, dim]`, probabilities, mask or None, and the
    conditional rows. `output()` is the plain one."""

    path: str
    step: int
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    scale: float
    mask: torch.Tensor | None
    rows: list[int]

    @property
    def logits(self) -> torch.Tensor:
        products = torch.einsum("bhqd,bhkd->bhqk", self.q, self.k) * self.scale
        return products if self.mask is None else products + self.mask

    def softmax(self, logits: torch.Tensor | None = None) -> torch.Tensor:
        logits = self.logits if logits is None else logits
        powers = (logits - logits.amax(dim=-1, keepdim=True)).exp()
        return powers / powers.sum(dim=-1, keepdim=True)

    def output(self, probabilities: torch.Tensor | None = None) -> torch.Tensor:
        return torch.einsum(
            "bhqk,bhkd->bhqd", self.softmax() if probabilities is None else probabilities, self.v
        )

    @property
    def cross(self) -> bool:
        return self.path.endswith("attn2")


By = Callable[[Seen, Any], torch.Tensor]


class Explicit:
    """An attention processor that writes the softmax out."""

    def __init__(self, path: str, steps: Any, by: By) -> None:
        self.path, self.steps, self.by = path, steps, by

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: Any = None,
    ) -> torch.Tensor:
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        rows = len(hidden_states)
        if attention_mask is not None:
            attention_mask = attention_mask.reshape(rows, 1, -1, attention_mask.shape[-1])

        def heads(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.reshape(rows, -1, attn.heads, tensor.shape[-1] // attn.heads).permute(0, 2, 1, 3)

        q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(text)), heads(attn.to_v(text))
        seen = Seen(
            self.path,
            self.steps(),
            q,
            k,
            v,
            q.shape[-1] ** -0.5,
            attention_mask,
            [*range(rows // 2, rows)],
        )
        out = self.by(seen, attn).permute(0, 2, 1, 3).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


@contextlib.contextmanager
def explicitly(family: str, by: By) -> Iterator[None]:
    """Within, every attention call of the tiny pipeline is `by(seen, module)`."""
    pipe = tiny(family)
    denoiser = pipe.unet if family in UNETS else pipe.transformer
    calls, open_modules, handles = [-1], list[tuple[str, Any]](), list[Any]()
    handles.append(denoiser.register_forward_pre_hook(lambda *_: calls.__setitem__(0, calls[0] + 1)))
    modules = [(path, module) for path, module in denoiser.named_modules() if hasattr(module, "to_q")]
    before = [module.processor for _, module in modules]
    kernel = functional.scaled_dot_product_attention

    def written_out(query: Any, key: Any, value: Any, attn_mask: Any = None, **others: Any) -> torch.Tensor:
        if not open_modules:
            return kernel(query, key, value, attn_mask=attn_mask, **others)
        path, module = open_modules[-1]
        rows = [0] if len(query) == 1 else [*range(len(query) // 2, len(query))]
        seen = Seen(path, calls[0], query, key, value, query.shape[-1] ** -0.5, attn_mask, rows)
        return by(seen, module)

    for path, module in modules:
        if family in JOINT:
            handles.append(
                module.register_forward_pre_hook(lambda m, *_, path=path: open_modules.append((path, m)))
            )
            handles.append(module.register_forward_hook(lambda *_: open_modules.pop() and None))
        else:
            module.processor = Explicit(path, lambda: calls[0], by)
    if family in JOINT:
        functional.scaled_dot_product_attention = written_out
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = kernel
        for handle in handles:
            handle.remove()
        for (_, module), old in zip(modules, before, strict=True):
            module.processor = old


def drawn_explicitly(family: str, by: By, **call: Any) -> torch.Tensor:
    """The latents, drawn with explicit attention."""
    with explicitly(family, by):
        return draw(family, **call)


def plain(seen: Seen, _module: Any) -> torch.Tensor:
    """Attention as it is."""
    return seen.output()


def share(mask: np.ndarray, cells: int) -> torch.Tensor:
    """Share of each of `cells` cells that a mask of the picture `[HEIGHT, WIDTH]` covers, row by row."""
    side = round((HEIGHT * WIDTH / cells) ** 0.5)
    blocks = mask.reshape(HEIGHT // side, side, WIDTH // side, side)
    return torch.from_numpy(blocks.mean(axis=(1, 3)).reshape(-1))


def box(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """A mask of a box, corners included."""
    mask = np.zeros((HEIGHT, WIDTH))
    mask[y0 : y1 + 1, x0 : x1 + 1] = 1
    return mask


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal to many digits."""
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, atol=1e-9 * scale, rtol=1e-8)


def differs(found: torch.Tensor, other: torch.Tensor) -> None:
    """Another picture by ten thousand times what `same` lets pass: the test is not of an edit that does nothing."""
    assert float((found - other).abs().max()) > 1e-5 * float(other.abs().max())


def edited(family: str, *edits: Edit, donors: dict[str, Donor] | None = None, **call: Any) -> torch.Tensor:
    """The latents, drawn with edits."""
    pipe = tiny(family)
    with applied(
        pipe,
        Lens(pipe).family,
        edits,
        prompts=PROMPT,
        steps=STEPS,
        size=(16, 32),
        donors=donors,
        options=arguments(family),
    ):
        return draw(family, **call)


def weights(family: str, seen: Seen) -> torch.Tensor:
    """How much each query lies in `PART`: of joint sequences, the picture's."""
    cells = share(box(*PART), CELLS if family in JOINT else seen.q.shape[2])
    rest = torch.zeros(seen.q.shape[2] - len(cells))
    return torch.cat([rest, cells] if family == "flux" else [cells, rest])[:, None]


def texted(family: str, seen: Seen) -> bool:
    """Whether the call has text keys."""
    return family in JOINT or seen.cross


def mixed(seen: Seen, out: torch.Tensor, new: torch.Tensor, heads: Any, weight: Any = 1.0) -> torch.Tensor:
    """`out`, with `new` in the conditional rows and some heads."""
    out = out.clone()
    for row in seen.rows:
        for head in range(out.shape[1]) if heads is None else heads:
            out[row, head] = (1 - weight) * out[row, head] + weight * new[row, head]
    return out


def embedding(family: str, text: str) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """A text's embedding `[1, token, channel]`, pooled embedding and mask, by the encoders themselves."""
    pipe = tiny(family)
    if family == "pixart":
        read = pipe.tokenizer(text, padding="max_length", max_length=24, truncation=True, return_tensors="pt")
        return (
            pipe.text_encoder(read.input_ids, attention_mask=read.attention_mask)[0],
            None,
            read.attention_mask,
        )
    ids = pipe.tokenizer(text, padding="max_length", max_length=20, return_tensors="pt").input_ids
    if family == "sd15":
        return pipe.text_encoder(ids)[0], None, None
    second = pipe.tokenizer_2(text, padding="max_length", max_length=20, return_tensors="pt").input_ids
    one = pipe.text_encoder(ids, output_hidden_states=True)
    two = pipe.text_encoder_2(second, output_hidden_states=True)
    return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two[0], None


def on_text(seen: Seen, attn: Any, family: str, given: Any) -> torch.Tensor:
    """The output of the same queries on the keys and values of another text."""
    text, _, mask = given
    if family == "pixart":
        text = tiny(family).transformer.caption_projection(text)
    heads = seen.q.shape[1]
    k, v = (each(text).unflatten(-1, (heads, -1)).transpose(1, 2) for each in (attn.to_k, attn.to_v))
    bias = None if mask is None else ((1 - mask) * -10000.0)[:, None, None, :].double()
    rows = len(seen.q)
    other = Seen(seen.path, seen.step, seen.q, k.expand(rows, -1, -1, -1), v, seen.scale, bias, seen.rows)
    other.v = v.expand(rows, -1, -1, -1)
    return other.output()


def donor(family: str, edits: list[Edit]) -> dict[str, Donor]:
    pipe = tiny(family)
    lens = Lens(pipe)
    wanted = needs(pipe, lens.family, edits, STEPS)["donor"]
    made = gathered(pipe, lens.family, lambda: draw(family, "a dog", seed=3), wanted, name="donor")
    return {"donor": made}


def noted(family: str) -> tuple[dict[tuple[str, int], torch.Tensor], dict[tuple[str, int], torch.Tensor]]:
    """What the donor's conditional row has at each site and step: output, and probabilities."""
    outputs, probabilities = {}, {}

    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        outputs[seen.path, seen.step] = out[seen.rows[0]]
        probabilities[seen.path, seen.step] = seen.softmax()[seen.rows[0]]
        return out

    with explicitly(family, by):
        draw(family, "a dog", seed=3)
    return outputs, probabilities
