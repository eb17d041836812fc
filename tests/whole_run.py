"""What must hold of a run folder whatever happened to its writer, for runs whose content `tiny_recording` gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_recording as tiny
from PIL import Image

from diffuscope.recording import Recording, TensorFile
from diffuscope.recording.verify import verify


def assert_whole(folder: Path, *, calls: int = 1) -> Recording:
    """The run opens; every step that it names holds what was written, to the bit; nothing half looks whole.

    Leftovers under temporary names are allowed, and so are whole files that no manifest names yet.
    """
    recording = Recording.open(folder)
    steps = recording.manifest.steps
    assert [each.index for each in steps] == list(range(len(steps)))
    for each in steps:
        written = tiny.step(each.index, calls=calls)
        assert each.calls == written.calls and each.log_snr == written.log_snr
        assert_tensors(folder / f"steps/{each.index:04d}.safetensors", tiny.tensors(written))
        assert_tensors(folder / f"maps/{each.index:04d}.safetensors", tiny.maps(written))
        first = written.calls[0].index
        expected = tiny.tensors(written)[f"q/{tiny.CROSS}@{first}"]
        np.testing.assert_array_equal(recording.query(tiny.CROSS, each.index, first), expected)
        np.testing.assert_array_equal(
            recording.keys(tiny.CROSS, each.index), tiny.text()[f"k/{tiny.CROSS}@0"]
        )
    if recording.complete:
        assert recording.manifest.stopped is None
        assert recording.image().tobytes() == tiny.picture(255).tobytes()
    for path in folder.rglob("*"):
        # A temporary name ends in `.part`: such a file never counts, and no other is ever half.
        if path.suffix == ".safetensors":
            file = TensorFile(path, sealed=True)
            for key in file.keys():  # noqa: SIM118 - a file, not a mapping
                file.read(key)
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
    found = verify(folder)
    assert found.damage == ()
    assert all(_may_be_left(name) for name in found.unnamed), found.unnamed
    return recording


def assert_tensors(path: Path, expected: dict[str, np.ndarray]) -> None:
    """A file of tensors holds these and no others, to the bit."""
    file = TensorFile(path, sealed=True)
    assert set(file.keys()) == set(expected)
    for name, array in expected.items():
        found = file.read(name)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes(), f"{path}: {name}"


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders in a run and beside it."""
    found = [*folder.rglob("*.part"), *folder.parent.glob(f".{folder.name}.*.part")]
    return sorted(path.name for path in found)


def _may_be_left(name: str) -> bool:
    if name.endswith(".part"):
        return True
    return name.split("/")[0] in ("steps", "maps", "previews", "text.safetensors", "image.png")
