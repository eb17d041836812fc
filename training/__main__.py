"""One command that makes the drawn world's model from nothing: `python -m training`.

Every stage is budgeted by time and goes on from its exact state when it is run again. A GPU is used where there is
one. The budgets are meant for two quiet CPU cores; `--scale` stretches them all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from training import autoencoder, denoiser, package, report, text

STAGES = ("autoencoder", "text", "denoiser", "package", "report")
MINUTES = {"autoencoder": 30.0, "text": 1.5, "denoiser": 90.0}
SHIPPED = Path(__file__).resolve().parents[1] / "src" / "diffuscope" / "scenes" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("training/work"), help="folder of checkpoints and logs"
    )
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the finished model goes")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"which to run, of {', '.join(STAGES)}")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every time budget")
    for stage, minutes in MINUTES.items():
        parser.add_argument(f"--{stage}-minutes", type=float, default=minutes, metavar="M")
    parser.add_argument(
        "--scenes", type=int, default=20_000, help="scenes whose latents the denoiser trains on"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    stages = options.stages.split(",")
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage {unknown[0]!r}; the stages are {', '.join(STAGES)}")
    work, seed, device = options.work, options.seed, torch.device(options.device)
    work.mkdir(parents=True, exist_ok=True)

    if "autoencoder" in stages:
        vae = autoencoder.fit(work, options.autoencoder_minutes * options.scale, seed, device)
        autoencoder.whiten(vae, seed, device)
        vae.save_pretrained(work / "vae")
    if "text" in stages:
        text.fit(work, options.text_minutes * options.scale, seed, device)
    if "denoiser" in stages:
        vae = autoencoder.load(work, device)
        tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        encoder = CLIPTextModel.from_pretrained(work / "text_encoder").to(device)
        minutes = options.denoiser_minutes * options.scale
        denoiser.fit(work, minutes, seed, device, vae, tokenizer, encoder, scenes=options.scenes)
    if "package" in stages:
        painter, tokenizer = package.latest(work, device)
        size = package.package(options.out, painter, autoencoder.load(work, device), tokenizer)
        print(f"wrote {options.out} ({size / 1e6:.1f} MB)")
    if "report" in stages:
        report.write(work)


if __name__ == "__main__":
    main()
