"""What recording costs on a GPU: time beside the plain pipeline, and GPU memory against the number of steps.

    python benchmarks/gpu.py [--models sd15,sdxl] [--rounds N] [--steps N] [--levels maps,cross,qk] [--json FILE]

Stable Diffusion 1.5 at 512x512 and SDXL at 1024x1024, full size, random weights, float16. Needs torch, transformers,
diffusers and this package, and no download. Without a GPU it says so in one line and ends well. Measured as in
`overhead.py`; the whole call is timed on the clock, from an idle GPU until it is idle again, the denoising loop alone
by CUDA events.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measuring import (
    PLAIN,
    LoopWatch,
    describe_machine,
    machine,
    megabytes,
    parser_of,
    say,
    table,
    write_json,
)
from overhead import LEVELS, Subject, levels_of, print_times, times

from diffuscope.engine import Lens
from diffuscope.errors import UnsupportedModelError
from diffuscope.recording import Level
from diffuscope.testing import random_pipeline
from diffuscope.testing.random_pipeline import byte_tokenizer

SIZES = {"sd15": 512, "sdxl": 1024}
MEMORY_STEPS = (5, 10, 25, 50)


# The models.


def sd15(device: str, dtype: torch.dtype, *, tiny: bool) -> Any:
    """A pipeline of Stable Diffusion 1.5's form."""
    # Unscaled: in float16 the logits of scaled-up queries and keys could overflow, and time does not depend on them.
    return random_pipeline("sd15", "tiny" if tiny else "full", peaked=False).to(device, dtype)


def sdxl(device: str, dtype: torch.dtype, *, tiny: bool) -> Any:
    """A pipeline of SDXL's form, built where it runs: 2.6 billion weights take long to draw on a processor.

    The configurations are those of `stabilityai/stable-diffusion-xl-base-1.0`, but for the vocabulary.
    """
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = byte_tokenizer(77)

    def text(width: int, layers: int, heads: int) -> Any:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    widths = (16, 32) if tiny else (768, 1280)
    default = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            first = CLIPTextModel(text(widths[0], 2 if tiny else 12, 4 if tiny else 12))
            second = CLIPTextModelWithProjection(text(widths[1], 2 if tiny else 32, 4 if tiny else 20))
            unet = UNet2DConditionModel(
                sample_size=16 if tiny else 128,
                block_out_channels=(16, 32, 32) if tiny else (320, 640, 1280),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                layers_per_block=1 if tiny else 2,
                norm_num_groups=8 if tiny else 32,
                transformer_layers_per_block=(1, 1, 2) if tiny else (1, 2, 10),
                attention_head_dim=(2, 4, 4) if tiny else (5, 10, 20),
                cross_attention_dim=sum(widths),
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8 if tiny else 256,
                projection_class_embeddings_input_dim=widths[1] + 6 * (8 if tiny else 256),
            )
            vae = AutoencoderKL(
                block_out_channels=(8, 16) if tiny else (128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * (2 if tiny else 4),
                up_block_types=("UpDecoderBlock2D",) * (2 if tiny else 4),
                layers_per_block=1 if tiny else 2,
                norm_num_groups=8 if tiny else 32,
                latent_channels=4,
                sample_size=32 if tiny else 1024,
                scaling_factor=0.13025,
                force_upcast=False,
            )
    finally:
        torch.set_default_dtype(default)
    pipe = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=byte_tokenizer(77),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    for part in (first, second, unet, vae):
        part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    # Buffers that a constructor makes in float32, or on the processor, whatever the defaults say.
    return pipe.to(device, dtype)


BUILDERS = {"sd15": sd15, "sdxl": sdxl}


def subject_on(name: str, device: str, steps: int, *, tiny: bool) -> Subject:
    """A model on the device.

    Raises:
        UnsupportedModelError: the package has no adapter that records it.
    """
    pipe = BUILDERS[name](device, torch.float32 if device == "cpu" else torch.float16, tiny=tiny)
    lens = Lens(pipe)
    size = lens.family.default_size(pipe) if tiny else (SIZES[name], SIZES[name])
    return Subject(name, lens, "a red cat and a red cat", steps, 7.5, *size)


# Measuring.


def event() -> Any:
    """A mark in the GPU's own stream of work."""
    made = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    made.record()
    return made


def watch_on(device: str) -> Any:
    """How the denoising loop is watched: by events on a GPU, where the clock would see only the handing over."""
    if device == "cpu":
        return LoopWatch
    return lambda denoiser, decoder: LoopWatch(
        denoiser, decoder, event, lambda begin, end: float(begin.elapsed_time(end)) / 1000
    )


def settle_on(device: str) -> Any:
    """Waits for the device's work."""
    return (lambda: None) if device == "cpu" else torch.cuda.synchronize


def gpu_memory(of: Subject, levels: Sequence[Level], steps: Sequence[int]) -> list[dict[str, Any]]:
    """Peak bytes that torch held on the GPU, plain and recorded, for so many steps."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for number in steps:
            now = replace(of, steps=number)
            for kind in (PLAIN, *levels):
                say(f"{of.name}: GPU memory, {kind}, {number} steps")
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                if kind in levels:
                    now.record(kind, Path(folder))  # type: ignore[arg-type]
                else:
                    now.plain()
                torch.cuda.synchronize()
                told.append({"kind": kind, "steps": number, "peak": torch.cuda.max_memory_allocated()})
    return told


def print_memory(name: str, told: Sequence[dict[str, Any]]) -> None:
    """Peak by steps and level, and what each step beyond the fewest adds."""
    kinds = list(dict.fromkeys(row["kind"] for row in told))
    steps = list(dict.fromkeys(row["steps"] for row in told))
    peak = {(row["kind"], row["steps"]): row["peak"] for row in told}
    rows = [[f"{number} steps", *(megabytes(peak[kind, number]) for kind in kinds)] for number in steps]
    growth = [(peak[kind, steps[-1]] - peak[kind, steps[0]]) / max(1, steps[-1] - steps[0]) for kind in kinds]
    rows.append(["growth a step", *(f"{value / 1000:+.1f} kB" for value in growth)])
    print(f"\n{name}, peak of torch's memory on the GPU\n")
    print(table(["", *kinds], rows), flush=True)


# The command.


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--models", default="sd15,sdxl")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--without-explicit", action="store_true", help="leave explicit attention out")
    parser.add_argument("--out", type=Path, help="where runs are written for a while (which disk matters)")
    parser.add_argument(
        "--device", default="cuda", help="cpu tries the script where there is no GPU, with --quick alone"
    )
    options = parser.parse_args()
    where = machine()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("no GPU: torch sees none on this machine, so there is nothing to measure")
        write_json(options.json, "gpu", where, {}, status="no GPU")
        return
    if options.device == "cpu" and not options.quick:
        parser.error("--device cpu is for trying the script: add --quick, or run benchmarks/overhead.py")
    steps, rounds = (2, 2) if options.quick else (options.steps, options.rounds)

    print(describe_machine(where), flush=True)
    results: dict[str, Any] = {"times": {}, "memory": {}, "not_recorded": {}}
    for name in options.models.split(","):
        say(f"{name}: building it")
        try:
            of = subject_on(name, options.device, steps, tiny=options.quick)
        except UnsupportedModelError as error:
            print(f"\n{name} cannot be recorded by this diffuscope: {error}")
            results["not_recorded"][name] = str(error)
            continue
        results["times"][name] = times(
            of,
            levels_of(options.levels),
            rounds,
            out=options.out,
            explicit=not options.without_explicit,
            watch=watch_on(options.device),
            settle=settle_on(options.device),
        )
        print_times(results["times"][name])
        if options.device != "cpu":
            told = gpu_memory(of, levels_of(options.levels), (2, 4) if options.quick else MEMORY_STEPS)
            results["memory"][name] = told
            print_memory(name, told)
        del of
        if options.device != "cpu":
            torch.cuda.empty_cache()
    write_json(options.json, "gpu", where, results)


if __name__ == "__main__":
    main()
