"""The finished parts as folders to ship, in half precision: `model`, in diffusers layout, and `clip`, the pair of text
and image encoder that a CLIP score needs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from training import autoencoder
from training.denoiser import Painter, pipeline

LIMIT = 32 * 1024 * 1024
"""Bytes that the shipped model may take."""

CARDS = Path(__file__).parent / "cards"
"""Model cards, written by hand; each is packaged as the README of its folder."""


def package(target: Path, painter: Painter, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> int:
    """Write the model to `target` and return its size in bytes.

    Raises:
        ValueError: the model is larger than may be shipped.
    """
    pipe = pipeline(painter, vae, tokenizer).to(torch.float16)
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    pipe.save_pretrained(fresh, safe_serialization=True)
    # transformers opens a model in the dtype that its configuration names, diffusers in float32: said here, so that
    # `from_pretrained(folder)` without a dtype gives parts that fit together.
    config = fresh / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2) + "\n")
    _nameless(fresh)
    size = sum(file.stat().st_size for file in fresh.rglob("*") if file.is_file())
    if size > LIMIT:
        raise ValueError(f"the model takes {size} bytes, more than the {LIMIT} that are shipped")
    shutil.copyfile(CARDS / "model.md", fresh / "README.md")
    (fresh / "SHA256SUMS").write_text(checksums(fresh))
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    return size


def everything(scenes: Path, work: Path, device: torch.device) -> int:
    """Write the model and the pair into the folder of the drawn world, as trained so far; their size in bytes."""
    painter, tokenizer = latest(work, device)
    size = package(scenes / "model", painter, autoencoder.load(work, device), tokenizer)
    clip = CLIPModel.from_pretrained(work / "clip").to(torch.float16)
    target = scenes / "clip"
    shutil.rmtree(target, ignore_errors=True)
    clip.save_pretrained(target)
    _nameless(target)
    tokenizer.save_pretrained(target)
    shutil.copyfile(CARDS / "clip.md", target / "README.md")
    (target / "SHA256SUMS").write_text(checksums(target))
    return size + sum(file.stat().st_size for file in target.rglob("*") if file.is_file())


def _nameless(folder: Path) -> None:
    """Where a part was loaded from on the machine that packaged it is nobody's business."""
    for file in folder.rglob("*.json"):
        told = json.loads(file.read_text())
        if told.pop("_name_or_path", None) is not None:
            file.write_text(json.dumps(told, indent=2) + "\n")


def checksums(folder: Path) -> str:
    """One line a file, `<sha256>  <path>`, as `sha256sum -c` reads it."""
    lines = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(f"{digest}  {file.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def latest(work: Path, device: torch.device) -> tuple[Painter, CLIPTokenizer]:
    """The denoiser and text encoder with averaged weights, as trained so far."""
    from training import checkpoint, denoiser

    tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(work / "text_encoder")
    painter = Painter(denoiser.build(), encoder)
    painter.unet.load_state_dict(checkpoint.load(work / "denoiser.safetensors")["average"])
    return painter.to(device).eval(), tokenizer
