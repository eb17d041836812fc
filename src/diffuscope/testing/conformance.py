"""What every adapter of a model family must pass, for those who add one (`docs/add-a-family.md`).

    from diffuscope.testing.conformance import conform

    def test_my_family(tmp_path):
        conform(my_pipeline, tmp_path, height=64, width=96)

`conform` draws twice, plainly and recorded, and compares the recording with an account of the plain drawing that
`oracle` kept by other means. Then it plants faults, one at a time, and asks that the checks find each: a check that
cannot fail proves nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffuscope.engine import Lens
from diffuscope.errors import CoverageError
from diffuscope.maps.attention import probabilities
from diffuscope.recording import Manifest, Recording, Site
from diffuscope.recording.verify import verify
from diffuscope.run import Run
from diffuscope.testing.faults import FAULTS
from diffuscope.testing.oracle import Noted, around_the_kernel, noting

ABSOLUTE, RELATIVE = 1e-6, 1e-4
"""How far a probability may be from the explicit one."""

PROMPT = "a cattle dog, a red cat"

SECOND_HALF = "second half"
"""Where the conditional rows of a guided call are, in all pipelines of diffusers that batch them."""


class ConformanceError(AssertionError):
    """A recording is not what it must be."""


@dataclass(frozen=True)
class Account:
    """A drawing that was recorded, and what is known of it by other means.

    Attributes:
        make: makes the pipeline anew.
        call: arguments of the pipeline's call, without prompt and generator.
        runs: what was recorded, one a picture.
        noted: of the plain drawing.
        outputs: of the denoiser while it was recorded.
        pictures: those of the plain drawing.
        before, after: what was installed in the pipeline before and after recording.
        row: the conditional row of a picture in a call, or None where the call has none.
    """

    make: Callable[[], Any]
    call: dict[str, Any]
    folder: Path
    runs: tuple[Run, ...]
    noted: Noted
    outputs: list[torch.Tensor]
    pictures: list[np.ndarray]
    before: dict[str, Any]
    after: dict[str, Any]
    row: Callable[[int, int], int | None]

    def expected(self, site: Site, call: int, picture: int) -> np.ndarray:
        """Probabilities `[head, query of the picture, key]` in float64; keys of the text first at joint sites."""
        row = self.row(call, picture)
        if row is None:
            raise ConformanceError(f"call {call} has no conditional row, and attention of it was kept")
        found: np.ndarray = self.noted.calls[call][site.module][row]
        image, text = getattr(site, "image_keys", None), getattr(site, "text_keys", None)
        if image is None or text is None:
            return found
        mine = found[:, slice(*image)]
        return np.concatenate([mine[:, :, slice(*text)], mine[:, :, slice(*image)]], axis=2)


def conform(
    make: Callable[[], Any],
    folder: str | Path,
    *,
    prompt: str = PROMPT,
    images: int = 2,
    steps: int = 2,
    guidance: float | None = None,
    row: Callable[[int, int], int | None] | None = None,
    faults: bool = True,
    **call: Any,
) -> dict[str, list[str]]:
    """Run every check on a pipeline's recording, and every fault against the checks.

    Args:
        make: makes the pipeline: small, with peaked attention, the same each time.
        folder: an empty folder for runs.
        prompt, images, steps, guidance: what is drawn; `images` pictures together. No guidance scale: the pipeline's.
        row: `row(call, picture)`, the conditional row of a picture in that call of the denoiser, None where the call
            has none. By default the rows of a call that has twice as many rows as pictures are its second half.
        faults: whether to plant faults too.
        **call: further arguments of the pipeline's call.

    Returns:
        Fault to the names of the checks that found it.

    Raises:
        ConformanceError: a check does not hold, or no check finds a fault; the message names it.
    """
    settings = {"prompt": prompt, "images": images, "steps": steps, "guidance": guidance, "row": row, **call}
    right = observe(make, Path(folder) / "right", **settings)
    failed = failing(right)
    if failed:
        raise ConformanceError("; ".join(f"{name}: {line}" for name, line in failed.items()))
    caught: dict[str, list[str]] = {}
    for number, fault in enumerate(FAULTS if faults else ()):
        with fault.planted():
            try:
                caught[fault.what] = list(
                    failing(observe(make, Path(folder) / f"fault-{number}", **settings))
                )
            except Exception as error:  # A fault may be found before there is anything to check.
                caught[fault.what] = [type(error).__name__]
        if not caught[fault.what]:
            raise ConformanceError(f"a planted fault was not found: {fault.what}")
    return caught


def observe(
    make: Callable[[], Any],
    folder: Path,
    *,
    prompt: str = PROMPT,
    images: int = 2,
    steps: int = 2,
    guidance: float | None = None,
    row: Callable[[int, int], int | None] | None = None,
    seed: int = 3,
    **call: Any,
) -> Account:
    """Draw plainly and recorded, and keep an account of both."""
    pipe = make()
    lens = Lens(pipe)
    denoiser = lens.family.denoiser(pipe)
    scale: dict[str, Any] = {} if guidance is None else {"guidance_scale": guidance}
    generators = [torch.Generator().manual_seed(seed + index) for index in range(images)]
    with noting(denoiser) as noted:
        made = pipe(
            prompt,
            num_inference_steps=steps,
            num_images_per_prompt=images,
            generator=generators if images > 1 else generators[0],
            **scale,
            **call,
        )
    before = traces(pipe)
    with noting(denoiser, attention=False) as recorded:
        runs = lens.record(
            prompt,
            steps=steps,
            images_per_prompt=images,
            seed=seed,
            out=folder,
            keep="qk",
            previews=False,
            **scale,
            **call,
        )

    def half(number: int, picture: int) -> int | None:
        rows = len(recorded.outputs[number])
        return picture + (images if rows == 2 * images else 0)

    return Account(
        make=make,
        call={**scale, **call},
        folder=folder,
        runs=tuple(runs) if images > 1 else (runs,),
        noted=noted,
        outputs=recorded.outputs,
        pictures=[np.asarray(image) for image in made.images],
        before=before,
        after=traces(pipe),
        row=row or half,
    )


def failing(account: Account) -> dict[str, str]:
    """Names of the checks that do not hold, with what they said."""
    found = {}
    for name, check in CHECKS.items():
        try:
            check(account)
        except Exception as error:  # Whatever stops a check is a finding.
            found[name] = f"{type(error).__name__}: {error}"
    return found


def traces(pipe: Any) -> dict[str, Any]:
    """Everything on which something could have stayed installed, told apart by identity."""
    threads = sorted(each.name for each in threading.enumerate() if each.name.startswith("diffuscope"))
    found: dict[str, Any] = {"modes": torch._C._len_torch_function_stack(), "threads": threads}
    found["class"] = id(type(pipe))
    owners: dict[str, Any] = {"pipe": pipe}
    for name, part in pipe.components.items():
        owners[name] = part
        if isinstance(part, torch.nn.Module):
            owners |= {f"{name}.{path}": module for path, module in part.named_modules() if path}
    for name, owner in owners.items():
        if owner is None or not hasattr(owner, "__dict__"):
            continue
        found |= {f"{name}.{key}": id(value) for key, value in vars(owner).items() if callable(value)}
        if isinstance(owner, torch.nn.Module):
            found[f"{name} hooks"] = (len(owner._forward_hooks), len(owner._forward_pre_hooks))
    return found


# The checks. Each raises ConformanceError where the recording is not what it must be.


def _expect(holds: bool, line: str) -> None:
    if not holds:
        raise ConformanceError(line)


def _agrees(found: Any, expected: np.ndarray, where: str) -> None:
    found = np.asarray(found, np.float64)
    _expect(found.shape == expected.shape, f"{where}: shape {found.shape}, expected {expected.shape}")
    error = np.abs(found - expected)
    _expect(bool((error <= ABSOLUTE).all()), f"{where}: off by {error.max():.2g}")
    _expect(bool((error <= RELATIVE * np.abs(expected) + 1e-30).all()), f"{where}: relatively off")


def check_undisturbed(account: Account) -> None:
    """Pictures and every output of the denoiser are those of a drawing without recording, bit for bit."""
    _expect(len(account.outputs) == len(account.noted.outputs), "another number of calls")
    for number, (recorded, plain) in enumerate(zip(account.outputs, account.noted.outputs, strict=True)):
        _expect(torch.equal(recorded, plain), f"call {number} gave another output")
    for run, picture in zip(account.runs, account.pictures, strict=True):
        _expect(np.array_equal(np.asarray(run.image), picture), "another picture")


def check_peaked(account: Account) -> None:
    """Attention is so peaked that a wrong head, row or scale shows."""
    tables = list(account.noted.calls[0].values())
    _expect(max(float(table.max()) for table in tables) > 0.3, "attention is too even to prove anything")


def check_coverage(account: Account) -> None:
    """Every module that attends is a site, in order; where one goes around the kernel, recording stops and names it."""
    for run in account.runs:
        _expect(
            [site.module for site in run.sites] == account.noted.order, "sites are not what attends, in order"
        )
    pipe = account.make()
    lens = Lens(pipe)
    site = lens.sites[len(lens.sites) // 2]
    try:
        with around_the_kernel(site.module):
            lens.record(
                "a cat", steps=1, out=account.folder / "coverage", previews=False, **_few(account.call)
            )
    except CoverageError as error:
        _expect(error.missing == (site.name,), f"{error.missing} were missing, not {site.name}")
    else:
        raise ConformanceError(f"{site.name} was not seen, and nobody was told")


def check_rows(account: Account) -> None:
    """The row whose attention is kept is the conditional one."""
    pictures = len(account.runs)
    for picture, run in enumerate(account.runs):
        for step in run.steps:
            for call in step.calls:
                row = account.row(call.index, picture)
                expected = -1 if row is None else row // pictures
                _expect(call.row == expected, f"call {call.index}: row {call.row}, expected {expected}")


def check_attention(account: Account) -> None:
    """The softmax of what was kept is the explicit one, at every site, head, call and picture."""
    for picture, run in enumerate(account.runs):
        for step, call, site in _kept(run):
            query, keys = (read(site.name, step, call) for read in (run.recording.query, run.recording.keys))
            mask = run.recording.mask(site.name, step, call)
            found = probabilities(query, keys, site.scale, mask)
            _agrees(found, account.expected(site, call, picture), f"{site.name}, call {call}")


def check_word_maps(account: Account) -> None:
    """Stored word maps are head means of the explicit probabilities at the text's keys."""
    for picture, run in enumerate(account.runs):
        for step, call, site in _kept(run):
            if site.kind == "self":
                continue
            maps = run.recording.word_maps(site.name, step, call)
            expected = account.expected(site, call, picture).mean(axis=0).T[: len(maps)]
            _agrees(maps, expected, f"{site.name}, call {call}")


def check_words(account: Account) -> None:
    """The tokens of a word spell it."""
    for run in account.runs:
        _expect(bool(run.words), "no words")
        for word in run.words:
            spelled = "".join(run.tokens[index].text for index in word.tokens).casefold()
            spelled = spelled.replace("\u2581", "").replace("</w>", "")
            # Several encoders spell it one after the other.
            times, rest = divmod(len(spelled), len(word.text))
            text = word.text.casefold() * times
            _expect(not rest and spelled == text, f"{word.label} has tokens that spell {spelled!r}")


def check_no_trace(account: Account) -> None:
    """Nothing is left installed in the pipeline."""
    left = sorted(
        name
        for name in {*account.before, *account.after}
        if account.before.get(name) != account.after.get(name)
    )
    _expect(not left, f"left behind or changed: {left[:4]}")


def check_serialisation(account: Account) -> None:
    """Runs are whole on disk, and what is opened again says the same."""
    for run in account.runs:
        damage = verify(run.path).damage
        _expect(not damage, f"damaged: {damage}")
        again = Recording.open(run.path)
        _expect(again.manifest == run.manifest, "the manifest reads differently")
        text = run.manifest.model_dump_json()
        _expect(Manifest.model_validate_json(text) == run.manifest, "the manifest does not survive JSON")
        word = run.words[-1].label
        _expect(
            np.array_equal(Run(again).word(word).map().array, run.word(word).map().array),
            "maps read differently",
        )


CHECKS: dict[str, Callable[[Account], None]] = {
    "undisturbed": check_undisturbed,
    "peaked": check_peaked,
    "coverage": check_coverage,
    "rows": check_rows,
    "attention": check_attention,
    "word maps": check_word_maps,
    "words": check_words,
    "no trace": check_no_trace,
    "serialisation": check_serialisation,
}
"""What holds of every family. The first sentence of each says what."""


def _kept(run: Run) -> list[tuple[int, int, Site]]:
    """Step, call and site of everything that was kept."""
    return [
        (step.index, call.index, site)
        for step in run.steps
        for call in step.calls
        if call.row >= 0
        for site in run.sites
    ]


def _few(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "guidance_scale"}
