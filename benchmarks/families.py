"""What recording costs on each family at its real size: time, added memory, bytes a step.

    python benchmarks/families.py [--families sd15,sd21] [--rounds N] [--device D] [--dtype T] [--json FILE]

Stable Diffusion 1.5 at 512x512, 2.1 at 768x768, SDXL and SD3-medium at 1024x1024, full-size architectures with random
weights; needs no download. Two denoising steps a call, plain and recorded in turn, in one process. The picture is not
decoded, which costs the same with and without and, here, more than both steps: latents enlarged stand for it. Ratios
are of seconds and of processor time of all threads, the steadier of the two where others use the machine. The kept
level is said in each row: what the budget of 2 GB a run of 30 steps gives by default, and everything (`qk`). Where the
machine has too little memory a family is left out, and said.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import (
    AGAIN,
    PLAIN,
    Sample,
    describe_machine,
    forget_peak,
    interleave,
    machine,
    median,
    megabytes,
    parser_of,
    peak_host_memory,
    ratio,
    say,
    table,
    timed,
    write_json,
)

import diffuscope as ds
from diffuscope.engine import Lens
from diffuscope.recording import Level
from diffuscope.testing import random_pipeline

SIZES = {"sd15": 512, "sd21": 768, "sdxl": 1024, "sd3": 1024}
WEIGHTS = {"sd15": 1.1e9, "sd21": 1.3e9, "sdxl": 3.5e9, "sd3": 2.9e9}
"""Parameters of all parts together, near enough to see whether they fit."""

STEPS = 2
DEFAULT_STEPS = 30
"""Of the run whose level by default is shown."""


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--families", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"))
    options = parser.parse_args()
    where = machine()
    print(describe_machine(where))
    dtype = getattr(torch, options.dtype or ("float32" if options.device == "cpu" else "float16"))
    results: dict[str, Any] = {}
    for family in options.families.split(","):
        needed = WEIGHTS[family] * dtype.itemsize * 1.3
        if not options.quick and needed > free_memory():
            print(f"{family}: left out, needs about {needed / 1e9:.0f} GB of memory")
            continue
        results[family] = measured(family, options.device, dtype, options.rounds, tiny=options.quick)
        print_family(family, results[family])
        write_json(options.json, "families", where, results)


def free_memory() -> float:
    """Bytes of host memory that are free for use."""
    line = next(
        (each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemAvailable")),
        None,
    )
    return float("inf") if line is None else float(line.split()[1]) * 1024


def measured(family: str, device: str, dtype: torch.dtype, rounds: int, *, tiny: bool) -> dict[str, Any]:
    """Everything about one family."""
    say(f"{family}: building")
    # Unscaled: in half precision the products of scaled-up queries and keys could overflow.
    pipe = random_pipeline(family, "tiny" if tiny else "full", peaked=False, dtype=dtype).to(device)
    pipe.vae.decode = enlarged(pipe.vae_scale_factor)
    side = 32 if tiny else SIZES[family]
    size = {"height": side, "width": side}
    default = Lens(pipe).estimate("a red cat", steps=DEFAULT_STEPS, previews=False, **size)
    levels: list[Level] = list(dict.fromkeys([default.level, "qk"]))
    memory: dict[str, int] = {}
    disk: dict[str, float] = {}

    def draw(name: str) -> Sample:
        generator = torch.Generator("cpu").manual_seed(0)
        call = {"num_inference_steps": STEPS, "generator": generator, "output_type": "pil", **size}
        forget_peak()
        begin = peak_host_memory()
        if name in (PLAIN, AGAIN):
            _, sample = timed(lambda: pipe("a red cat", **call), settle=settle)
        else:
            folder = Path(tempfile.mkdtemp())
            try:
                with ds.capture(pipe, keep=name, out=folder, previews=False) as session:
                    _, sample = timed(lambda: pipe("a red cat", **call), settle=settle)
                files = [*session.run.path.glob("steps/*"), *session.run.path.glob("maps/*")]
                disk[name] = sum(path.stat().st_size for path in files) / STEPS
            finally:
                shutil.rmtree(folder)
        grown = torch.cuda.max_memory_allocated() if device.startswith("cuda") else peak_host_memory() - begin
        memory[name] = max(memory.get(name, 0), grown)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
        return sample

    def settle() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    draw(PLAIN)
    memory.clear()
    samples = interleave([PLAIN, *levels, AGAIN], draw, rounds, say)
    return {
        "size": side,
        "dtype": str(dtype).removeprefix("torch."),
        "device": device,
        "default": default.to_json(),
        "seconds": {name: median(each) for name, each in samples.items()},
        "ratios": {name: ratio(samples, name) for name in [*levels, AGAIN]},
        "processor": {name: ratio(samples, name, "cpu") for name in [*levels, AGAIN]},
        "memory": {name: memory[name] - min(memory[PLAIN], memory[AGAIN]) for name in levels},
        "step": disk,
    }


def enlarged(factor: int) -> Any:
    """A decoder that does nothing: the first three latent channels, `factor` times as wide and high."""

    def decode(latents: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        return (
            torch.nn.functional.interpolate(latents[:, :3].float(), scale_factor=factor).to(latents.dtype),
        )

    return decode


def print_family(family: str, told: dict[str, Any]) -> None:
    """One family's rows."""
    level = told["default"]["level"]
    print(f"\n{family}, {told['size']}x{told['size']}, {told['dtype']} on {told['device']}")
    print(
        f"by default, 2 GB for {DEFAULT_STEPS} steps: keep={level}, {megabytes(told['default']['bytes'][level])}"
    )
    rows: list[Sequence[str]] = [
        [
            name,
            f"{told['seconds'][name]:.2f} s",
            f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})",
            f"{told['processor'][name].value:.3f}",
            megabytes(told["memory"][name]) if name in told["memory"] else "",
            megabytes(told["step"][name]) if name in told["step"] else "",
        ]
        for name, each in told["ratios"].items()
    ]
    print(
        table(
            ["kept", "call of 2 steps", "times plain", "processor time", "memory added", "on disk a step"],
            rows,
        )
    )


if __name__ == "__main__":
    main()
