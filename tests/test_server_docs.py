"""The walk with curl in docs/server.md, as it stands there, against a real server; and what the page says there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file
from served import Served

from diffuscope.server.settings import PREFIX, Limits, Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="needs curl and bash"
)
def test_the_walk_with_curl_works_as_it_stands(tmp_path: Path) -> None:
    walk = PAGE.partition("## A walk with curl")[2].partition("\n## ")[0]
    script = "".join(re.findall(r"```sh\n(.*?)```", walk, flags=re.DOTALL))
    with Served(tmp_path / "runs") as server:
        script = "set -euo pipefail\n" + script.replace("http://127.0.0.1:7860", server.address)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, done.stderr + done.stdout
    for said in ("event: opened", "event: done", "who looks at box", "circle", "delta-E (CIE76)"):
        assert said in done.stdout, said
    assert "'heads': True" in done.stdout and "attention probability" in done.stdout
    assert load_file(tmp_path / "circle.safetensors")["maps"].shape[0] == 10
    assert Image.open(tmp_path / "picture.png").size == (128, 128)


def test_every_setting_and_limit_is_one_that_the_page_names_or_leaves_at_its_default() -> None:
    table = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    for name in Settings.model_fields:
        assert name in table and (name == "limits" or f"{PREFIX}{name.upper()}" in table), name
    limits = Limits()
    for name, value in re.findall(r"(\w+) (\d+)(?=,| )", table.partition("| `[limits]`")[2]):
        unit = {"body_bytes": 2**20, "free_bytes": 2**30}.get(name, 1)
        assert getattr(limits, name) == int(value) * unit, name
