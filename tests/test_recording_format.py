"""docs/format.md is enough to write a reader: the one that it prints reads what the package writes."""

import re
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from tiny_recording import CROSS, DIM, write_run

from diffuscope.recording import Recording
from diffuscope.recording.manifest import Manifest

PAGE = (Path(__file__).parent.parent / "docs/format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 1
    assert "diffuscope" not in blocks[0]
    names: dict = {}
    exec(blocks[0], names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_the_printed_reader_reads_what_the_package_writes(reader, tmp_path, dtype):
    run = write_run(tmp_path / "run", dtype=dtype)
    recording = Recording.open(run)
    q, k = recording.query(CROSS, 2).astype(np.float64), recording.keys(CROSS, 2).astype(np.float64)
    scores = np.exp(np.einsum("hqd,hkd->hqk", q, k) * DIM**-0.5)
    np.testing.assert_allclose(
        reader.probabilities(run, CROSS, 2, 2), scores / scores.sum(axis=-1, keepdims=True), rtol=1e-12
    )
    assert reader.manifest(run)["steps"][2]["calls"][0]["row"] == 1
    maps = reader.tensor(run / "maps/0001.safetensors", f"{CROSS}@1")
    np.testing.assert_array_equal(maps, recording.word_maps(CROSS, 1))


def test_the_printed_reader_refuses_damage(reader, tmp_path):
    run = write_run(tmp_path / "run")
    for name, read in (
        ("manifest.json", lambda: reader.manifest(run)),
        ("steps/0001.safetensors", lambda: reader.tensor(run / "steps/0001.safetensors", "output@1")),
    ):
        content = (run / name).read_bytes()
        at = content.index(b"float32") if name == "manifest.json" else -len(content) // 2
        (run / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        if name == "manifest.json":
            with pytest.raises(ValueError, match="damaged"):
                read()
        else:
            with pytest.raises(ValueError, match="damaged"):
                for key in ("output@1", "latent_in@1", f"q/{CROSS}@1", "q/self:mid@1", "k/self:mid@1"):
                    reader.tensor(run / name, key)


def test_the_page_names_every_field_of_the_manifest_and_every_kind_of_tensor(tmp_path):
    table = PAGE.split("## manifest.json")[1].split("## Tensor files")[0]
    for name in Manifest.model_fields:
        assert f"`{name}`" in table or f'"{name}"' in table, name
    run = write_run(tmp_path / "run")
    from diffuscope.recording import TensorFile

    for path in run.rglob("*.safetensors"):
        for key in TensorFile(path, sealed=True).keys():  # noqa: SIM118 - a file, not a mapping
            general = re.sub(r"@\d+$", "@<call>", key)
            general = general.replace("cross:mid", "<cross site>").replace("self:mid", "<self site>")
            assert f"`{general}`" in PAGE, general
