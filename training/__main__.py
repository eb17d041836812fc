"""One command that makes the drawn world's models from nothing: `python -m training`.

Every stage is budgeted by time and goes on from its exact state when it is run again. A GPU is used where there is
one. The budgets are meant for two quiet CPU cores; `--scale` stretches them all. With `--start FOLDER` the autoencoder
and the denoiser begin with the weights of an earlier model instead of random ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from training import autoencoder, contrastive, data, decoder, denoiser, judge, package, report, text

STAGES = ("autoencoder", "decoder", "text", "contrastive", "judge", "denoiser", "package", "report")
MINUTES = {
    "autoencoder": 40.0,
    "decoder": 25.0,
    "text": 3.0,
    "contrastive": 15.0,
    "judge": 30.0,
    "denoiser": 120.0,
}
SCENES = Path(__file__).resolve().parents[1] / "src" / "diffuscope" / "scenes"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("training/work"), help="folder of checkpoints and logs"
    )
    parser.add_argument("--out", type=Path, default=SCENES, help="folder that the finished models go into")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"which to run, of {', '.join(STAGES)}")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every time budget")
    for stage, minutes in MINUTES.items():
        parser.add_argument(f"--{stage}-minutes", type=float, default=minutes, metavar="M")
    parser.add_argument("--scenes", type=int, default=30_000, help="scenes that are drawn to train on")
    parser.add_argument("--start", type=Path, help="a model folder whose weights training begins with")
    parser.add_argument(
        "--again",
        type=int,
        default=0,
        metavar="K",
        help="the K-th time that the denoiser is trained on from --start: new batches and noise, a lower learning rate",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    stages = options.stages.split(",")
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}")
    work, seed, scenes, device = options.work, options.seed, options.scenes, torch.device(options.device)
    work.mkdir(parents=True, exist_ok=True)

    def budget(stage: str) -> float:
        return float(getattr(options, f"{stage}_minutes") * options.scale)

    def begin(part: str) -> Path | None:
        return options.start / part if options.start else None

    if "autoencoder" in stages:
        vae = autoencoder.fit(work, budget("autoencoder"), seed, device, scenes, start=begin("vae"))
        autoencoder.whiten(vae, data.store(work, scenes, seed), device)
        vae.save_pretrained(work / "vae")
    if "decoder" in stages:
        vae = decoder.fit(work, budget("decoder"), seed, device, autoencoder.load(work, device), scenes)
        vae.save_pretrained(work / "vae")
    if "text" in stages or "contrastive" in stages:
        # The state of a finished stage is read back, not trained again.
        reader = text.fit(work, budget("text"), seed, device)
        if "contrastive" in stages:
            contrastive.fit(work, budget("contrastive"), seed, device, reader, scenes)
    if "judge" in stages:
        judge.fit(work, budget("judge"), seed, device)
    if "denoiser" in stages:
        vae = autoencoder.load(work, device)
        tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        encoder = CLIPTextModel.from_pretrained(work / "text_encoder").to(device)
        denoiser.fit(
            work,
            budget("denoiser"),
            seed,
            device,
            vae,
            tokenizer,
            encoder,
            scenes,
            start=begin("unet"),
            again=options.again,
        )
    if "package" in stages:
        size = package.everything(options.out, work, device)
        print(f"wrote {options.out} ({size / 1e6:.1f} MB)")
    if "report" in stages:
        report.write(work)


if __name__ == "__main__":
    main()
