"""What edits cost: each beside a plain run, replays beside full reruns, and a sweep over heads beside naive reruns.

    python benchmarks/edits.py [--model scenes] [--parts costs,replay,sweep,sd15,memory] [--steps 25] [--rounds 5]
                               [--heads 128] [--batches 8,16,32] [--starts 0,0.5,0.75] [--device cpu]
                               [--clock wall|cpu] [--json FILE]

`costs`: the ordinary pipeline with one edit on at every step and site that it can act at, in turn with the plain one;
the ratio is that of the denoising loop. Donors and texts are there already; guidance steering computes more rows.
`replay`: `lens.edit` from several start steps beside the same edit drawn whole (`full=True`), for each scheduler, both
recorded at keep level `maps`; whether the two are bit-identical; and the share of the steps that was drawn.
`sweep`: as many heads as are asked for taken out one at a time, at every step and from later ones on, beside naive
reruns: the ordinary pipeline, drawn whole for each head, in turn with batches of the sweep. `sd15`: the same, computed
from measured forwards of the Stable Diffusion 1.5 denoiser with random weights, at 64x64 latents. `memory`: the peak of
the process while each runs. `--clock cpu` counts processor time of all threads in place of seconds: for machines that
others use too.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import (
    AGAIN,
    PLAIN,
    LoopWatch,
    Part,
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

from diffuscope.edits import (
    Custom,
    Edit,
    Encode,
    Inject,
    Patch,
    Reprompt,
    Reweight,
    Scale,
    Silence,
    Steer,
    control,
)
from diffuscope.engine import Lens
from diffuscope.engine.apply import applied, gathered, needs
from diffuscope.engine.quiet import quiet_libraries
from diffuscope.recording.difference import difference
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

PROMPT, WORD, OTHER = "a red circle left of a blue square", "circle", "green circle"
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++ multistep": ("DPMSolverMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "LCM": ("LCMScheduler", {}),
}
STARTS = (0.25, 0.5, 0.75)
TARGET = 5.0


def edits_of(donor: str, size: tuple[int, int]) -> dict[str, Edit]:
    """Every kind of edit, at all steps and all sites that it can act at. `size`: width and height of the picture."""
    box = f"box:0,0,{size[0] // 2 - 1},{size[1] - 1}"
    return {
        "scale": Scale(0.5),
        "scale, one head": Scale(0.5, sites="cross:mid", heads="0"),
        "scale, patches": Scale(0.5, patches=box),
        "encode": Encode(OTHER),
        "patch": Patch(donor),
        "inject, cross": Inject(donor, "cross"),
        "inject, self": Inject(donor, "self"),
        "reweight, probability": Reweight(WORD, 2.0),
        "reweight, logits": Reweight(WORD, 2.0, of="logits"),
        "reweight, odds": Reweight(WORD, 2.0, of="odds"),
        "silence": Silence(WORD),
        "reprompt": Reprompt(f"a {OTHER}"),
        "steer, embedding": Steer(OTHER, word=WORD, steps="all"),
        "steer, guidance": Steer(OTHER, space="guidance", steps="all"),
        "custom": Custom(lambda q, k, v, out, context: 0.5 * out, name="half"),
        "control of silence": control(Silence(WORD)),
    }


class Bench:
    """A model, and what is asked of it."""

    def __init__(self, arguments: Any, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.lens = (
            Lens(random_pipeline("sd15"))
            if arguments.quick
            else Lens.load(arguments.model, device=arguments.device)
        )
        self.lens.pipe.set_progress_bar_config(disable=True)
        self.steps: int = arguments.steps
        self.clock: Part = "cpu" if arguments.clock == "cpu" else "wall"
        self.call: dict[str, Any] = {"num_inference_steps": self.steps, "guidance_scale": 4.0}
        self.asked: dict[str, Any] = {"seed": 7, "steps": self.steps, "guidance_scale": 4.0}
        if arguments.quick:
            self.call |= {"width": 32, "height": 32}
            self.asked |= {"width": 32, "height": 32}

    def record(self, **settings: Any) -> Run:
        """The run that is edited."""
        made = self.lens.record(
            PROMPT, out=self.folder / "runs", keep="maps", previews=False, **{**self.asked, **settings}
        )
        assert isinstance(made, Run)
        return made

    def draw(self, edits: list[Edit] | None = None, donors: Any = None) -> Any:
        """The ordinary pipeline, with edits on."""
        generator = torch.Generator().manual_seed(7)
        if edits is None:
            return self.lens.pipe(PROMPT, generator=generator, **self.call)
        settings = {"prompts": PROMPT, "steps": self.steps, "donors": donors}
        with applied(self.lens.pipe, self.lens.family, edits, **settings):
            return self.lens.pipe(PROMPT, generator=generator, **self.call)

    def settle(self) -> None:
        """Wait for the device."""
        if self.lens.pipe.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="scenes", help="as for `diffuscope record`")
    parser.add_argument("--parts", default="costs,replay,sweep,sd15,memory")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--heads", type=int, default=128, help="variations of the sweep")
    parser.add_argument("--batches", default="8,16,32", help="pictures drawn together")
    parser.add_argument("--starts", default="0,0.5,0.75", help="where sweeps begin, shares of the run")
    parser.add_argument("--schedulers", default=",".join(SCHEDULERS))
    parser.add_argument("--device", default=None)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.rounds, arguments.heads, arguments.batches = 4, 1, 6, "3"
        arguments.schedulers = "DDIM,Heun"
    quiet_libraries()
    where = machine()
    print(describe_machine(where), "\n")
    folder = Path(tempfile.mkdtemp(prefix="diffuscope-edits-"))
    parts: dict[str, Callable[[Bench], Any]] = {
        "costs": costs,
        "replay": replay,
        "sweep": sweep,
        "sd15": sd15,
        "memory": memory,
    }
    try:
        bench = Bench(arguments, folder)
        results = {name: parts[name](bench) for name in arguments.parts.split(",")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    write_json(arguments.json, "edits", where, results)


def costs(bench: Bench) -> dict[str, Any]:
    """Each edit's loop beside the plain one's."""
    lens = bench.lens
    every = edits_of("donor", bench.draw().images[0].size)
    needed = needs(lens.pipe, lens.family, list(every.values()), bench.steps)["donor"]
    donor = gathered(lens.pipe, lens.family, bench.draw, needed, name="donor")
    mark = time.process_time if bench.clock == "cpu" else time.perf_counter
    watch = LoopWatch(lens.family.denoiser(lens.pipe), lens.pipe.vae.decoder, mark)
    calls: dict[str, Callable[[], Any]] = {PLAIN: bench.draw}
    for name, edit in every.items():
        calls[name] = lambda edit=edit: bench.draw([edit], {"donor": donor})
    calls[AGAIN] = bench.draw
    try:
        for call in calls.values():
            call()
        samples = interleave(
            list(calls),
            lambda name: timed(calls[name], watch, bench.settle)[1],
            bench.arguments.rounds,
            say,
        )
    finally:
        watch.remove()
    told = {name: ratio(samples, name, "loop") for name in calls if name != PLAIN}
    print(table(["edit", "times a plain step"], [[name, str(each)] for name, each in told.items()]), "\n")
    return {"ratios": told, "samples": samples}


def replay(bench: Bench) -> dict[str, Any]:
    """An edit from step k on, taken up from a recording, beside the same drawn whole."""
    import diffusers

    lens, told, rows = bench.lens, {}, []
    for name in bench.arguments.schedulers.split(","):
        kind, options = SCHEDULERS[name]
        before = lens.pipe.scheduler
        lens.pipe.scheduler = getattr(diffusers, kind).from_config(before.config, **options)
        try:
            run = bench.record()
        finally:
            lens.pipe.scheduler = before
        calls = [len(step.calls) for step in run.steps]
        for share in STARTS:
            start = round(share * bench.steps)
            edit = Scale(0.5, steps=f"{start}:{bench.steps}")
            made: dict[bool, Run] = {}

            def edited(full: bool, run: Run = run, edit: Edit = edit, made: dict[bool, Run] = made) -> None:
                made[full] = lens.edit(run, edit, out=bench.folder / "edited", full=full)

            samples = interleave(
                ["full", "replay"],
                lambda which: timed(lambda: edited(which == "full"), None, bench.settle)[1],
                max(1, bench.arguments.rounds - 2),
            )
            identical = difference(made[True].recording, made[False].recording).identical
            ratio_of = median(samples["replay"], bench.clock) / median(samples["full"], bench.clock)
            drawn = sum(calls[start:]) / sum(calls)
            told[f"{name} from {start}"] = {"identical": identical, "ratio": ratio_of, "drawn": drawn}
            rows.append([name, str(start), "yes" if identical else "NO", f"{ratio_of:.2f}", f"{drawn:.2f}"])
            say(" ".join(rows[-1]))
            shutil.rmtree(bench.folder / "edited", ignore_errors=True)
    print(table(["scheduler", "from step", "bit-identical", "time", "calls drawn"], rows), "\n")
    return told


def heads_of(bench: Bench, run: Run, steps: str) -> list[Edit]:
    """So many heads, each taken out; further ones by other factors where the model has not enough."""
    places = [(site.name, head) for site in run.sites for head in range(site.heads)]
    factors = itertools.chain.from_iterable(
        [(factor, *place) for place in places] for factor in (0.0, 0.5, 2.0)
    )
    chosen = list(itertools.islice(factors, bench.arguments.heads))
    return [Scale(factor, sites=site, heads=str(head), steps=steps) for factor, site, head in chosen]


def sweep(bench: Bench) -> dict[str, Any]:
    """A sweep over heads beside naive reruns, by batch and by start."""
    told, rows = {}, []
    run = bench.record()
    for start in (round(float(share) * bench.steps) for share in bench.arguments.starts.split(",")):
        steps = f"{start}:{bench.steps}"
        items = heads_of(bench, run, steps)
        for batch in map(int, bench.arguments.batches.split(",")):
            seconds, naive = swept(bench, run, items, batch)
            alone = median(naive, bench.clock) * len(items)
            faster = alone / seconds
            told[f"{steps}, batch {batch}"] = {
                "seconds": seconds,
                "naive": alone,
                "faster": faster,
                "items": len(items),
            }
            rows.append([steps, str(batch), f"{seconds:.1f}", f"{alone:.1f}", f"{faster:.1f}"])
            say(" ".join(rows[-1]))
    count = bench.arguments.heads
    heads = ["steps", "batch", f"{count} heads, s", "naive reruns, s", f"faster (target {TARGET:g})"]
    print(table(heads, rows), "\n")
    return told


def swept(bench: Bench, run: Run, items: list[Edit], batch: int) -> tuple[float, list[Sample]]:
    """Seconds of a whole sweep, and of a naive rerun before each of its batches, so that both meet the same machine."""
    left = bench.lens.sweep(run, items, batch=batch)
    seconds, naive = 0.0, []
    bench.draw([items[0]])
    for first in range(0, len(items), batch - 1):
        size = len(items[first : first + batch - 1])
        naive.append(timed(lambda: bench.draw([items[0]]), None, bench.settle)[1])
        drawn = timed(lambda size=size: list(itertools.islice(left, size)), None, bench.settle)[1]
        seconds += drawn.cpu if bench.clock == "cpu" else drawn.wall
    return seconds, naive


@torch.no_grad()
def sd15(bench: Bench) -> dict[str, Any]:
    """Forwards of the Stable Diffusion 1.5 denoiser by rows, and what follows for a sweep of 128 heads in 50 steps."""
    quick = bench.arguments.quick
    pipe = random_pipeline("sd15", "tiny" if quick else "full", peaked=False)
    device = bench.arguments.device or "cpu"
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    unet = pipe.unet.to(device=device, dtype=dtype)
    side, width = (4 if quick else 64), unet.config.cross_attention_dim
    batches = [1, *map(int, bench.arguments.batches.split(","))]
    calls = {}
    for pictures in batches:
        sample = torch.randn(2 * pictures, 4, side, side, device=device, dtype=dtype)
        text = torch.randn(2 * pictures, 77, width, device=device, dtype=dtype)
        calls[str(pictures)] = lambda sample=sample, text=text: unet(sample, 500, text).sample
    calls["1"]()
    samples = interleave(
        list(calls), lambda name: timed(calls[name], None, bench.settle)[1], bench.arguments.rounds, say
    )
    told: dict[str, Any] = {"forward": {name: median(each, bench.clock) for name, each in samples.items()}}
    rows = []
    heads, steps = 128, 50
    one = told["forward"]["1"]
    for pictures in batches[1:]:
        forward = told["forward"][str(pictures)]
        drawn = -(-heads // (pictures - 1))
        for start in (0, 25):
            naive, swept = heads * steps * one, drawn * (steps - start) * forward
            told[f"batch {pictures} from {start}"] = naive / swept
            rows.append(
                [str(pictures), str(start), f"{forward:.3f}", f"{forward / one:.2f}", f"{naive / swept:.1f}"]
            )
    print(f"one picture: {one:.3f} s a step, {device}, {dtype}")
    heads_row = ["batch", "from step", "seconds a step", "times one picture's", "sweep of 128 faster"]
    print(table(heads_row, rows), "\n")
    return told


def memory(bench: Bench) -> dict[str, Any]:
    """Peak memory of the process, beyond what it holds before."""
    run = bench.record()
    batch = max(map(int, bench.arguments.batches.split(",")))
    late = Scale(0.5, steps=str(bench.steps - 1))
    jobs: dict[str, Callable[[], Any]] = {
        "plain": bench.draw,
        "edited": lambda: bench.draw([Scale(0.5)]),
        "replayed and recorded": lambda: bench.lens.edit(run, late, out=bench.folder / "edited"),
        f"sweep, batch {batch}": lambda: list(
            bench.lens.sweep(run, heads_of(bench, run, late.steps)[: batch - 1], batch=batch)
        ),
    }
    told = {}
    for name, job in jobs.items():
        job()
        forget_peak()
        before = peak_host_memory()
        job()
        told[name] = {"peak": peak_host_memory(), "beyond": peak_host_memory() - before}
    rows = [[name, megabytes(each["peak"]), megabytes(each["beyond"])] for name, each in told.items()]
    print(table(["", "peak", "beyond what was held"], rows), "\n")
    return told


if __name__ == "__main__":
    main()
