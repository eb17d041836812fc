"""A recording opens, and every map and figure is made, where torch is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import make_run

BLOCKED = ("torch", "diffusers", "transformers", "accelerate", "tokenizers")

WITHOUT_TORCH = f"""
import sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "example", steps=3)


def python_without_torch(code: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which none of the model libraries can be found."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_block_works(tmp_path: Path) -> None:
    result = python_without_torch("import torch", tmp_path)
    assert result.returncode == 1 and "No module named 'torch'" in result.stderr


def test_recordings_maps_and_reports_need_no_torch(run: Path, tmp_path: Path) -> None:
    code = """
import diffuscope as ds

run = ds.open(sys.argv[1])
run.image.save("picture.png")
run.preview(1).save("preview.png")
run.word("circle").map(steps="0:2", sites="cross:up.*", heads=1).save("map.npy")
run.phrase("red circle").map().overlay(run.image).save("overlay.png")
print(len(run.word("circle").steps()), run.word("circle").mass().shape)
ds.write_report(run, "report.html")
run._repr_html_()
"""
    result = python_without_torch(code, tmp_path, run)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "map.npy",
        "overlay.png",
        "picture.png",
        "preview.png",
        "report.html",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("info",),
        ("heatmap", "--word", "circle"),
        ("steps", "--word", "circle", "--out", "there"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_read_need_no_torch(run: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code = "from diffuscope.cli import main; sys.exit(main())"
    result = python_without_torch(code, tmp_path, arguments[0], run, *arguments[1:])
    assert (result.returncode, result.stderr) == (0, "")


def test_running_a_model_says_what_to_install(tmp_path: Path) -> None:
    code = "from diffuscope.cli import main; sys.exit(main())"
    result = python_without_torch(code, tmp_path, "record", "a red circle")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and 'pip install "diffuscope[models]"' in result.stderr
    attribute = python_without_torch("import diffuscope; diffuscope.Lens", tmp_path)
    assert "MissingExtraError" in attribute.stderr
