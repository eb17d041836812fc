"""Curves of every stage as one picture, beside `REPORT.md`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

CURVES = Path(__file__).parent / "curves.png"

LOGS = Path(__file__).parent / "logs"
"""Logs of the stages as the shipped models were trained, kept so that curves can be drawn anew or otherwise."""


def read_log(file: Path) -> list[dict[str, float]]:
    """The lines of a stage's log; a stage that was not run has none."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def write(work: Path, target: Path = CURVES) -> None:
    """Draw the loss of each stage over the minutes spent, and the autoencoder's PSNR, from the logs in `work`, and from
    those in `LOGS` where a stage was not run there; the new ones are put there too."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    LOGS.mkdir(exist_ok=True)
    stages = {}
    for name in ("autoencoder", "decoder", "text", "contrastive", "judge", "denoiser"):
        if (fresh := work / f"{name}.jsonl").exists():
            shutil.copyfile(fresh, LOGS / fresh.name)
        if log := read_log(LOGS / f"{name}.jsonl"):
            stages[name] = log
    figure, axes = pyplot.subplots(1, len(stages), figsize=(4.2 * len(stages), 3.2), squeeze=False)
    for axis, (name, log) in zip(axes[0], stages.items(), strict=True):
        rows = [row for row in log if "loss" in row]
        # The denoiser's plain loss: what weighs how much changes on its way.
        losses = [row.get("plain", row["loss"]) for row in rows]
        axis.plot([row["minutes"] for row in rows], losses, color="#3b6ea5", lw=1.2)
        axis.set(title=name, xlabel="minutes", yscale="log")
        axis.set_ylabel("loss", color="#3b6ea5")
        measured = [row for row in log if "held_out_psnr" in row]
        if measured:
            other = axis.twinx()
            other.plot(
                [row["minutes"] for row in measured],
                [row["held_out_psnr"] for row in measured],
                color="#b5533c",
                marker="o",
                ms=3,
                lw=1,
            )
            other.set_ylabel("PSNR of unseen scenes, dB", color="#b5533c")
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    print(f"wrote {target}")
