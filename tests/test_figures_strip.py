"""Contact sheets and animations of one word's maps."""

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

from diffuscope.errors import InputError, NotKeptError, RunFolderError, SelectionError
from diffuscope.figures.animation import HOLD, frames, write_animation
from diffuscope.figures.strip import strip, write_strip
from diffuscope.maps.colormap import DisplayScale
from diffuscope.maps.picture import blend
from diffuscope.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=6))


def holds(figure: Image.Image, panel: np.ndarray) -> bool:
    """Whether a picture [y, x, 3] stands somewhere in a figure, pixel for pixel."""
    pixels = np.asarray(figure)
    starts = np.argwhere((pixels == panel[0, 0]).all(axis=-1))
    height, width = panel.shape[:2]
    return any(np.array_equal(pixels[y : y + height, x : x + width], panel) for y, x in starts)


def enlarged(array, scale: DisplayScale, side: int) -> np.ndarray:
    """A square map's colours with every patch a square of pixels."""
    factor = side // len(array)
    return scale.colours(array).repeat(factor, axis=0).repeat(factor, axis=1)


def test_a_sheet_holds_every_step_in_one_colour_range(run):
    view = run.word("circle")
    sheet = strip(view, behind="none", side=64)
    series = view.steps()
    scale = DisplayScale.of(series.array)
    for array in series.array:
        assert holds(sheet, enlarged(array, scale, 64))


def test_steps_sites_and_heads_are_chosen_as_everywhere(run):
    view = run.word("circle")
    sheet = strip(view, steps="2:4", sites="cross:mid", behind="none", side=64)
    chosen = view.steps("2:4", "cross:mid").array
    assert holds(sheet, enlarged(chosen[0], DisplayScale.of(chosen), 64))
    assert sheet.width <= strip(view, behind="none", side=64).width
    with pytest.raises(SelectionError):
        strip(view, steps=99)


def test_behind_each_map_lies_the_picture_of_its_step_in_grey(run):
    sheet = strip(run.phrase("red circle"), alpha=0.0, side=128)
    grey = blend(run.preview(3), Image.new("RGB", (128, 128)), 0.0)
    assert holds(sheet, np.asarray(grey))


@pytest.mark.parametrize(
    "wrong", [{"alpha": 1.5}, {"columns": 0}, {"behind": "above"}, {"colormap": "rainbow"}]
)
def test_wrong_options_are_input_errors(run, wrong):
    with pytest.raises(InputError):
        strip(run.word("red"), **wrong)


def test_a_run_without_previews_shows_maps_alone_and_one_without_a_picture_says_so(tmp_path):
    run = Run.open(make_run(tmp_path / "run", steps=4, stop_after=2, previews=False))
    assert frames(run.word("red"))[0].width < 512
    strip(run.word("red"))
    with pytest.raises(NotKeptError):
        strip(run.word("red"), behind="final")


def test_frames_are_of_one_size_and_show_map_and_predicted_picture(run):
    shown = frames(run.word("circle"), side=128)
    assert len(shown) == 6 and len({frame.size for frame in shown}) == 1
    assert holds(shown[2], np.asarray(run.preview(2).convert("RGB")))


def test_a_gif_plays_every_step_and_stays_on_the_last(run, tmp_path):
    path = write_animation(run.word("circle"), tmp_path / "new" / "circle.gif", fps=5)
    with Image.open(path) as moving:
        assert moving.n_frames == 6 and moving.info["loop"] == 0
        durations = []
        for frame in range(moving.n_frames):
            moving.seek(frame)
            durations.append(moving.info["duration"])
    assert durations == [200] * 5 + [HOLD]
    assert path.stat().st_size < 500_000


def test_a_gif_shows_equal_steps_too(tmp_path):
    """Pillow joins equal frames into one; a step must not vanish by that."""
    run = Run.open(make_run(tmp_path / "run", steps=3, previews=False))
    view = run.word("red")
    path = write_animation(view, tmp_path / "red.gif", behind="none", steps="0,1,2")
    with Image.open(path) as moving:
        assert moving.n_frames == 3


def test_wrong_files_are_one_clear_error(run, tmp_path):
    view = run.word("red")
    with pytest.raises(SelectionError, match="gif"):
        write_animation(view, tmp_path / "red.avi")
    with pytest.raises(SelectionError, match="frames a second"):
        write_animation(view, tmp_path / "red.gif", fps=0)
    with pytest.raises(SelectionError, match="png"):
        write_strip(view, tmp_path / "red.jpg")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError):
        write_strip(view, tmp_path / "file" / "red.png")
    with pytest.raises(RunFolderError):
        write_animation(view, tmp_path / "file" / "red.gif")
    assert write_strip(view, tmp_path / "red.png").exists()
