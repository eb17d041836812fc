"""`docs/models.md`, made from what the tests find.

`python tests/models_page.py` tries every way of running and writes the page; with names of ways, those and what is new.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))

import pytest
from ways import FAMILIES
from ways_tried import WAYS, Way

PAGE = Path(__file__).resolve().parent.parent / "docs" / "models.md"

TITLES = {
    "sd15": "SD 1.x",
    "sd21": "SD 2.x",
    "sdxl": "SDXL",
    "pixart": "PixArt",
    "sd3": "SD3",
    "sd35": "SD3.5",
    "flux": "Flux",
}

HEAD = """\
# Models

What diffuscope records, and in which ways of running it was tried. This page is written by
`python tests/models_page.py` from what the tests find, and the test suite holds it to that.

## What was validated, and on what

**With real weights: the shipped model alone**, `scenes`, whose pictures and maps are judged against the drawn world
([how well](scenes.md)). Everything else on this page was validated **on the architecture, with random weights**: the
model classes of diffusers at small sizes, attention peaked on purpose, saved and loaded as users do. That shows that
the picture stays the same to the bit and that maps are the model's own attention, exactly. It does not show what the
attention of a published checkpoint means. For a checkpoint of yours,
`python benchmarks/real_model.py MODEL --out page.md` runs the same proof on it and writes a page of its own.

| family | adapter | attention | words |
|---|---|---|---|
| SD 1.x, 2.x, Turbo, LCM | `stable-diffusion` | cross- and self-attention of the UNet | one CLIP tokenizer |
| SDXL, Turbo | `stable-diffusion-xl` | cross- and self-attention of the UNet | both CLIP tokenizers |
| PixArt-alpha, -sigma | `pixart` | cross- and self-attention, padding masked | T5 |
| SD3, SD3.5 | `stable-diffusion-3` | joint attention, dual attention where there is | CLIP, then T5 |
| Flux.1 | `flux` | joint attention, double and single blocks | T5 |
| any other of their form | `generic` | `attn1`, `attn2` on a known grid | its tokenizer, with a warning |

Refused, with the reason and what to do: linear attention (Sana), which has no attention probabilities; compiled
denoisers; caching hooks, which leave attention out; attention backends that go around PyTorch's
`scaled_dot_product_attention`; SDXL with a second prompt that differs, whose keys stand for two words at once.

## Ways of running

**tested**: the picture is the one without recording, bit for bit, and the recorded attention is that of an explicit
softmax to 1e-6 absolute and 1e-4 relative, at every site, head, call and picture. **refused**: recording stops before
or at the first call, with a line that says what to do. *untested*: not tried. A dash: the family's pipelines in
diffusers do not have it.

"""

TAIL = """
Schedulers that are tested (Stable Diffusion): DDIM, PNDM, Heun, Euler, Euler ancestral, DPM++ 2M, 2M Karras and 2M
SDE, UniPC, LCM, KDPM2. Others are recorded by the same rules.

## In your own code

The same three lines for every family, here on tiny ones with random weights:

```python
import diffuscope as ds
from diffuscope.testing import random_pipeline

for family in ("sd15", "sdxl", "sd3", "flux"):
    lens = ds.Lens(random_pipeline(family))
    run = lens.record("a red cat", seed=3, steps=2, height=32, width=32)
    run.word("cat").map().save(f"{family}.png")
```

```text
lens = ds.Lens(pipe)                        # any diffusers pipeline object; it is left as it is
run = lens.record("a red cat", seed=3)      # further arguments go to the pipeline: image=, strength=, clip_skip=, …

with ds.capture(pipe) as session:           # or call the pipeline yourself, with whatever it takes
    image = pipe("a red cat", num_inference_steps=20).images[0]
session.run.word("cat").map()
```

- A UNet of nine channels (inpainting) is given mask and masked picture beside the latent: `latent_in` of a recording
  has all nine.
- With **IP-Adapter** a site attends twice, to the text and to the picture given. The text's attention is recorded.
- A token learned by **textual inversion** is one word, with all the vectors that it stands for.
- **Embeddings** in place of a prompt: text keys have numbers, or words with `capture(pipe, prompt="…")` where they
  are those of one plain prompt (weights may differ).
- Maps of a **negative prompt**: `record(..., negative_prompt="…", branch="uncond")` keeps the attention of the row that
  reads it, and the run's words are its words. The picture is the same.
- **Quantised weights** are seen like others, since attention is computed from what they give. The loader of
  bitsandbytes asks for a GPU; its layers, put in by hand, were tried on the CPU. Where attention cannot be seen the run
  stops.
- Under **offloading** previews are decoded after the run, on the device that the pipeline uses.

## What a large model takes

Without `keep=`, the most that fits `--budget` (2 GB a run) is kept, and what it will take is said before anything is
written. So SDXL at 1024x1024 and Flux keep word maps or cross-attention by default, not the hundreds of gigabytes of
all queries and keys. `--estimate` says what each level takes at the cost of one call. Where memory runs out the run
stops, what was recorded stays readable, and the message names the level that holds less.

Queries, keys and values of a call are not held together: those of a large site (from 4 MiB) go as soon as its word maps
were made or what is kept of it was carried off. With `keep="maps"` this holds from the first call on; otherwise the
first call holds them until its end, since it shows what there is and what fits.
"""


def page(found: Mapping[tuple[str, str], str]) -> str:
    """The page for (way, family) -> `tested` or `refused`."""
    lines = [
        f"| way | {' | '.join(TITLES[family] for family in FAMILIES)} |",
        f"|---|{'---|' * len(FAMILIES)}",
    ]
    lines += [row(way, found) for way in WAYS]
    return HEAD + "\n".join(lines) + "\n" + TAIL


def row(way: Way, found: Mapping[tuple[str, str], str]) -> str:
    """A way's line of the table."""
    cells = []
    for family in FAMILIES:
        told = found.get((way.name, family))
        cells.append(f"**{told}**" if told else "—" if family in way.none else "*untested*")
    return f"| {way.name} | {' | '.join(cells)} |"


def read_back() -> dict[tuple[str, str], str]:
    """What the page says was tested or refused, of the ways that are tried."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    found = {}
    for way in WAYS:
        cells = next((line.split(" | ")[1:] for line in lines if line.startswith(f"| {way.name} |")), [])
        for family, cell in zip(FAMILIES, cells, strict=False):
            told = cell.strip(" |*")
            if family in way.families and told in ("tested", "refused"):
                found[way.name, family] = told
    return found


def stands_in_the_page(way: Way, family: str, found: str) -> bool:
    """Whether the page says of a cell what was found."""
    return read_back().get((way.name, family)) == found


def main(names: Sequence[str]) -> None:
    """Try all ways, or those named and what the page lacks, and write the page."""
    warnings.simplefilter("ignore")
    known = read_back() if names else {}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            for family in way.families:
                if way.name not in names and (way.name, family) in known:
                    found[way.name, family] = known[way.name, family]
                    continue
                try:
                    place = Path(folder) / f"{len(found)}"
                    found[way.name, family] = way.proof(family, place) or "tested"
                except pytest.skip.Exception as reason:
                    # What is not installed here stands in the page as it did: its test is skipped too.
                    found |= {key: told for key, told in read_back().items() if key == (way.name, family)}
                    print(f"not tried: {way.name}, {family}: {reason}")
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
