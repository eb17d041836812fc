"""Draw a recorded run again from its manifest alone, and say whether it comes out the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diffuscope.edits import from_json
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.drawing import Progress
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.reopening import rebuild_scheduler, reopen
from diffuscope.engine.options import again
from diffuscope.errors import CorruptRecordingError, InputError, RecordingError, RunFolderError, listed
from diffuscope.recording import Manifest, Recording, layout
from diffuscope.recording.difference import Difference, changed_files, difference
from diffuscope.recording.verify import verify

Verdict = Literal["identical", "within tolerance", "different"]

TOLERANCE = 1e-3
"""Relative difference of a tensor up to which two runs count as the same. Another order of summation (device, library
version, number of threads) is a change of the last bit that grows over the steps: the shipped model's 25 steps with
oneDNN switched off differ by 1.5e-4 in float32."""

TOLERANCES = {"float16": 1e-2, "bfloat16": 5e-2}
"""The same where the denoiser's own numbers are rounded as coarsely as this."""


@dataclass(frozen=True)
class Rerun:
    """The outcome of `rerun`.

    Attributes:
        id: of the run.
        verdict: ``identical``: picture, steps and every tensor are the same, bit by bit; ``within tolerance``: the
            same up to `tolerance`; ``different``: no more than that can be said, see `difference.first`.
        tolerance: a relative difference, as `Difference.within` takes it.
        difference: what differs, item by item; `recorded` there is the run, `again` the rerun.
        folder: of the rerun's own recording, or None if it was not kept.
    """

    id: str
    verdict: Verdict
    tolerance: float
    difference: Difference
    folder: Path | None

    @property
    def identical(self) -> bool:
        """Whether the run came out the same, bit by bit."""
        return self.verdict == "identical"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "id": self.id,
            "verdict": self.verdict,
            "tolerance": self.tolerance,
            "folder": None if self.folder is None else str(self.folder),
            **self.difference.to_json(),
        }


def rerun(
    recording: Recording | str | Path,
    lens: Lens | None = None,
    *,
    model: str | Path | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> Rerun:
    """Draw a run again as its manifest says, record it into a temporary folder, and compare the two.

    A picture that was drawn together with others is drawn together with them again. A stopped run is drawn, and
    compared, up to its last whole step. A run that was made with edits is drawn with them, all of its steps.

    Args:
        recording: the run, or its folder.
        lens: a model that is open already; it draws with the manifest's scheduler and then has its own again. By
            default the manifest's model is opened, in its type of numbers and on its device.
        model: the manifest's model, where it is now: a folder or hub id.
        device: another than the manifest's.
        out: folder that keeps the rerun's recordings, each in a folder of its own.
        tolerance: a relative difference, see `Rerun`; by default `TOLERANCE` or, for half precision, `TOLERANCES`.
        progress: called as `progress(step, steps)` after each step.
        notice: called with what is known to differ before anything is drawn, one line a call.

    Raises:
        RunNotFoundError, CorruptRecordingError, SchemaVersionError: there is no run, or it is damaged.
        ModelNotFoundError, UnsupportedModelError: the model cannot be opened; the message says what to give.
        InputError: the manifest does not say enough to draw again, or `model` is another model.
        RunFolderError: `out`, or the temporary folder, cannot be written.
        CaptureError: the model could not be recorded whole.
    """
    run = recording if isinstance(recording, Recording) else Recording.open(recording)
    manifest = run.manifest
    _check_run(run)
    scheduler = rebuild_scheduler(manifest.sampling.scheduler)
    if lens is None:
        loaded = reopen(manifest, model, device)
        lens = Lens(loaded.pipe, loaded=loaded)
    elif model is not None or device is not None:
        raise InputError("a lens has its model and device: give either it, or model and device")
    check_model(manifest, lens)
    changed = changed_files(manifest.model.files, lens.loaded.files)
    if changed and notice is not None:
        notice(
            f"{len(changed)} of the model's files are not those of the run: {listed([c.name for c in changed])}"
        )
    limit = tolerance if tolerance is not None else TOLERANCES.get(manifest.model.dtype, TOLERANCE)
    with _workplace(out) as place:
        folders = _draw(run, lens, scheduler, place, progress)
        mine = folders[manifest.sampling.image_index if len(folders) > 1 else 0]
        found = difference(run, Recording.open(mine))
        kept = None
        if out is not None:
            # Each has a name of its own, random digits in it.
            moved = [folder.rename(Path(out) / folder.name) for folder in folders]
            kept = moved[folders.index(mine)]
    return Rerun(manifest.id, _verdict(found, limit), limit, found, kept)


def _verdict(found: Difference, tolerance: float) -> Verdict:
    if found.identical:
        return "identical"
    return "within tolerance" if found.within(tolerance) else "different"


# What is checked before anything runs.


def _check_run(run: Recording) -> None:
    manifest = run.manifest
    sampling = manifest.sampling
    if not manifest.steps:
        raise InputError(f"run {manifest.id} was stopped before its first step was whole: nothing to compare")
    try:
        from_json(list(manifest.edits))
    except InputError as error:
        raise InputError(
            f"run {manifest.id} was made with edits that cannot be made again: {error}"
        ) from error
    if sampling.seed is None:
        raise InputError(
            f"run {manifest.id} was drawn with the caller's own generator: its manifest holds no seed"
        )
    lost = again(sampling.options)[1]
    if lost:
        raise InputError(
            f"run {manifest.id} was drawn with {listed(lost)}, of which its manifest holds a checksum only"
        )
    if not -(2**63) <= sampling.seed < 2**63:
        raise InputError(f"the seed {sampling.seed} is none that a generator takes")
    if sampling.image_index >= sampling.images_per_prompt:
        raise InputError(
            f"the manifest calls the run picture {sampling.image_index} of {sampling.images_per_prompt}, from 0"
        )
    damage = verify(run.path).damage
    if damage:
        raise CorruptRecordingError(
            f"{run.path} is damaged, so there is nothing to compare with: "
            f"{listed([f'{item.file} {item.problem}' for item in damage], 3)}"
        )


def check_model(manifest: Manifest, lens: Lens) -> None:
    """Raises InputError if a lens has another model than the run's, as far as its sites tell."""
    recorded = [site.name for site in manifest.sites]
    if recorded != [site.name for site in lens.sites]:
        raise InputError(
            f"{lens.loaded.id} is not the run's model ({manifest.model.id}): it has other attention sites"
        )


# Drawing.


def asked_for(manifest: Manifest) -> dict[str, Any]:
    """The arguments of `Lens.record` that draw a run again and keep of it what was kept. Options that a manifest holds
    a checksum of are not among them."""
    sampling, keep = manifest.sampling, manifest.keep
    assert sampling.seed is not None
    return {
        **again(sampling.options)[0],
        "prompt": sampling.prompt,
        "negative_prompt": sampling.negative_prompt,
        "seed": sampling.seed - sampling.image_index,
        "steps": sampling.steps,
        "guidance_scale": sampling.guidance_scale,
        "width": sampling.width,
        "height": sampling.height,
        "images_per_prompt": sampling.images_per_prompt,
        "keep": keep.level,
        "sites": keep.sites,
        "keep_steps": keep.steps,
        "keep_heads": keep.heads,
        "values": keep.values,
        "branch": keep.branch,
        # What the kernel received in float16 was rounded by nobody.
        "store": "float16" if keep.dtype == "float16" != manifest.model.dtype else "kernel",
    }


class _EnoughError(Exception):
    """Ends a run after the last step that is compared."""


def _draw(run: Recording, lens: Lens, scheduler: Any, place: Path, progress: Progress | None) -> list[Path]:
    """Record the run again; the folders of the pictures that were drawn together, in their order. Of a run that was
    made of another, its own alone."""
    manifest = run.manifest
    sampling, whole = manifest.sampling, len(manifest.steps)
    edited = bool(manifest.edits) or manifest.parent is not None

    def stepped(step: int, steps: int) -> None:
        steps = steps if manifest.complete else whole
        if progress is not None:
            progress(min(step, steps), steps)
        if step >= whole and not manifest.complete:
            raise _EnoughError

    with Patches() as patches, suppress(_EnoughError):
        if edited:
            from diffuscope.engine.replay import replay

            replay(lens, run, out=place, full=True, previews=False, progress=stepped)
        else:
            patches.replace(lens.pipe, "scheduler", scheduler)
            lens.record(**asked_for(manifest), out=place, previews=False, progress=stepped)
    found = [Recording.open(path.parent) for path in place.glob(f"*/{layout.MANIFEST}")]
    found.sort(key=lambda each: each.manifest.sampling.image_index)
    if len(found) != (1 if edited else sampling.images_per_prompt):
        raise RecordingError(
            f"the rerun made {len(found)} recordings where {sampling.images_per_prompt} pictures are drawn"
        )
    return [each.path for each in found]


@contextmanager
def _workplace(out: str | Path | None) -> Iterator[Path]:
    """A folder to record into, removed afterwards: in `out`, so that what is kept moves without a copy."""
    try:
        if out is not None:
            Path(out).mkdir(parents=True, exist_ok=True)
        # Files that are still mapped cannot be removed on Windows; then they stay in the temporary folder.
        made = tempfile.TemporaryDirectory(prefix=".rerun-", dir=out, ignore_cleanup_errors=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot write a rerun to {out or tempfile.gettempdir()}: {error.strerror or error}; "
            "choose a folder with --out (out=)"
        ) from error
    with made as folder:
        yield Path(folder)
