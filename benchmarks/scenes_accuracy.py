"""How well the shipped model draws what it is told, and how well its word maps find what it drew.

    python benchmarks/scenes_accuracy.py [--prompts 200] [--maps 50] [--steps 25] [--json FILE] [--sheet FILE]

Drawn pictures are read by the judge (`diffuscope.scenes`), which knows nothing of the prompt. The prompts are the
standard held-out ones: those coloured nouns in that relation, told from either end, were never in the training set.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import diffuscope as ds
from diffuscope.engine.order import SHIPPED_GUIDANCE, SHIPPED_STEPS
from diffuscope.maps.resize import resize
from diffuscope.scenes import lay_out, read, render, score, standard_prompts, summarise
from diffuscope.scenes.scoring import as_text


def autoencoder_ceiling(lens: Any, count: int) -> dict[str, Any]:
    """PSNR of drawn held-out scenes through the autoencoder, and the judge's reading of them before and after."""
    prompts = standard_prompts(count)
    rng = np.random.default_rng(5)
    drawn = np.stack([render(lay_out(prompt.description, rng)).image for prompt in prompts])
    vae = lens.pipe.vae
    decoded = []
    with torch.no_grad():
        for part in np.array_split(drawn, max(1, count // 16)):
            pixels = torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1
            output = vae.decode(vae.encode(pixels.to(vae.dtype)).latent_dist.mean).sample.float()
            decoded.append(((output.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    back = np.concatenate(decoded)
    squared = ((drawn.astype(np.float64) - back) ** 2).mean(axis=(1, 2, 3))
    clean = [score(read(image), p.description) for image, p in zip(drawn, prompts, strict=True)]
    through = [score(read(image), p.description) for image, p in zip(back, prompts, strict=True)]
    return {
        "psnr_db": float((10 * np.log10(255**2 / squared)).mean()),
        "judge_on_clean_renders": [row.__dict__ for row in summarise(clean)],
        "judge_after_autoencoder": [row.__dict__ for row in summarise(through)],
    }


def faithfulness(lens: Any, prompts: Any, steps: int, guidance: float, batch: int = 10) -> Any:
    """Draw prompts and judge the pictures. Returns scores, and the pictures with their prompts."""
    scores, shown = [], []
    for first in range(0, len(prompts), batch):
        part = prompts[first : first + batch]
        generators = [torch.Generator("cpu").manual_seed(first + i) for i in range(len(part))]
        made = lens.pipe(
            [prompt.text for prompt in part],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
        ).images
        for prompt, image in zip(part, made, strict=True):
            scores.append(score(read(image), prompt.description))
            shown.append((prompt.text, image, scores[-1]))
    return scores, shown


def word_maps(lens: Any, number: int, steps: int) -> dict[str, Any]:
    """IoU of noun and noun-phrase maps with the judge's mask, over two-object prompts, and where the peaks fall.

    Maps are thresholded at 0.4 of their maximum (DAAM's). A thing that the model did not draw is left out and counted.
    """
    found: dict[str, list[float]] = {"noun_iou": [], "phrase_iou": [], "noun_peak": [], "phrase_peak": []}
    missing = 0
    # Prompts that name a colour for both things, so that there is a phrase to ask for.
    prompts = [
        p for p in standard_prompts(4 * number, count=2) if all(t.colour for t in p.description.things)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for seed, prompt in enumerate(prompts[:number]):
            run = lens.record(prompt.text, seed=seed, steps=steps, keep="maps", out=folder, previews=False)
            reading = read(run.image)
            for thing in prompt.description.things:
                mask = reading.mask_of(thing.noun, thing.colour)
                if mask is None:
                    missing += 1
                    continue
                for kind, view in (
                    ("noun", run.word(thing.noun)),
                    ("phrase", run.phrase(f"{thing.colour} {thing.noun}")),
                ):
                    heat = resize(view.map().array, mask.shape, "bilinear")
                    chosen = heat > 0.4 * heat.max()
                    found[f"{kind}_iou"].append(float((chosen & mask).sum() / (chosen | mask).sum()))
                    found[f"{kind}_peak"].append(float(mask[np.unravel_index(heat.argmax(), heat.shape)]))
    rng = np.random.default_rng(0)
    told: dict[str, Any] = {"prompts": number, "things": len(found["noun_iou"]), "things_not_drawn": missing}
    for name, values in found.items():
        means = rng.choice(values, (2000, len(values))).mean(axis=1)
        told[name] = {
            "mean": float(np.mean(values)),
            "ci95": [float(v) for v in np.quantile(means, (0.025, 0.975))],
        }
    return told


def seconds(lens: Any, steps: int, repeats: int = 5) -> dict[str, float]:
    """Seconds for a picture, plain and recorded with everything kept, in turn in one run."""
    prompt = "a red circle left of a blue square in the snow"
    plain, recorded = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):
            start = time.perf_counter()
            lens.pipe(prompt, num_inference_steps=steps)
            middle = time.perf_counter()
            lens.record(prompt, steps=steps, keep="qk", out=folder, previews=False)
            if repeat:
                plain.append(middle - start)
                recorded.append(time.perf_counter() - middle)
    return {
        "plain_s": float(np.median(plain)),
        "recorded_qk_s": float(np.median(recorded)),
        "ratio": float(np.median(np.array(recorded) / np.array(plain))),
    }


def sheet(shown: list[Any], path: Path, columns: int = 10) -> None:
    """Pictures in a grid, a red bar under those that the judge found wrong."""
    tiles = []
    for _, image, judged in shown:
        tile = Image.new("RGB", (132, 138), "white")
        tile.paste(image, (2, 2))
        tile.paste("white" if judged.all else (220, 40, 40), (2, 132, 130, 136))
        tiles.append(tile)
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (132 * columns, 138 * rows), "white")
    for index, tile in enumerate(tiles):
        page.paste(tile, (132 * (index % columns), 138 * (index // columns)))
    page.save(path)


TITLES = {
    "one_thing_held_out": "One thing, held-out pairs",
    "one_thing_trained_pairs": "One thing, trained pairs",
    "two_things_held_out": "Two things, held out",
    "judge_after_autoencoder": "The judge's reading after the autoencoder (its ceiling for the model)",
    "judge_on_clean_renders": "The judge's reading of the clean drawings of the same prompts",
}


def as_markdown(told: dict[str, Any]) -> str:
    """The tables of `RESULTS.md`."""
    tables = {**told, **told["autoencoder"]}

    def rate(name: str, part: str) -> str:
        row = next(row for row in tables[name] if row["part"] == part)
        return f"{100 * row['rate']:.1f} %"

    one, trained, two = "one_thing_held_out", "one_thing_trained_pairs", "two_things_held_out"
    singles = f"{rate(one, 'bound')} held-out pairs, {rate(trained, 'bound')} trained pairs"
    lines = [
        "| bar of the first version | asked | measured |",
        "|---|---|---|",
        f"| autoencoder, held-out scenes | 32 dB | {told['autoencoder']['psnr_db']:.1f} dB |",
        f"| places | 98 % | {rate(two, 'place')} (two things), {rate(one, 'place')} (one) |",
        f"| one thing, noun and colour | 95 % | {singles} |",
        f"| two things, nouns and colours bound | 80 % | {rate(two, 'bound')} |",
        f"| left, right, above, below | 85 % | {rate(two, 'relation')} |",
        f"| seconds a picture, 25 steps, two cores | 2 s | {told['seconds']['plain_s']:.2f} s |",
    ]
    for name, title in TITLES.items():
        lines += ["", f"### {title}", "", "| part | n | right | 95% interval |", "|---|---|---|---|"]
        for row in (row for row in tables[name] if row["n"]):
            share, low, high = (100 * row[key] for key in ("rate", "low", "high"))
            lines.append(f"| {row['part']} | {row['n']} | {share:.1f} % | {low:.1f} to {high:.1f} |")
    if "maps" in told:
        maps = told["maps"]
        lines += [
            "",
            "### Word maps against the judge's masks",
            "",
            (
                f"{maps['prompts']} two-object prompts; {maps['things']} things drawn as named, and "
                f"{maps['things_not_drawn']} not, which are left out. All sites, heads and steps, threshold 0.4 of the "
                "maximum; bootstrap over things."
            ),
            "",
            "| map | mean IoU | peak inside the thing |",
            "|---|---|---|",
        ]
        for kind, title in (("noun", "the noun's"), ("phrase", "the noun phrase's (colour and noun)")):
            cells = []
            for part in ("iou", "peak"):
                found = maps[f"{kind}_{part}"]
                cells.append(f"{found['mean']:.3f} ({found['ci95'][0]:.3f} to {found['ci95'][1]:.3f})")
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--prompts", type=int, default=200, help="held-out prompts of each kind")
    parser.add_argument("--maps", type=int, default=50, help="two-object prompts whose maps are measured")
    parser.add_argument("--steps", type=int, default=SHIPPED_STEPS)
    parser.add_argument("--guidance", type=float, default=SHIPPED_GUIDANCE)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--markdown", type=Path, help="the tables as RESULTS.md has them")
    options = parser.parse_args()
    lens = ds.Lens.load(options.model)
    told: dict[str, Any] = {"autoencoder": autoencoder_ceiling(lens, options.prompts)}
    print(
        f"autoencoder: {told['autoencoder']['psnr_db']:.2f} dB on {options.prompts} held-out scenes",
        flush=True,
    )
    pages = []
    # Thirteen pairs of colour and noun were never drawn alone; as many prompts of trained pairs stand beside them.
    half = options.prompts // 2
    asked = {
        "one_thing_held_out": standard_prompts(half, count=1),
        "one_thing_trained_pairs": standard_prompts(half, count=1, split="train"),
        "two_things_held_out": standard_prompts(options.prompts, count=2),
    }
    for name, prompts in asked.items():
        scores, shown = faithfulness(lens, prompts, options.steps, options.guidance)
        rows = summarise(scores)
        told[name] = [row.__dict__ for row in rows]
        print(f"\n{name}: {len(prompts)} prompts, {options.steps} steps\n{as_text(rows)}", flush=True)
        pages += shown[: 50 if "two" in name else 25]
    if options.sheet:
        sheet(pages, options.sheet)
    if options.maps:
        told["maps"] = word_maps(lens, options.maps, options.steps)
        print(json.dumps(told["maps"], indent=1), flush=True)
    told["seconds"] = seconds(lens, options.steps)
    print(json.dumps(told["seconds"], indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))
    if options.markdown:
        options.markdown.write_text(as_markdown(told))


if __name__ == "__main__":
    main()
