"""How a server is set up: by a TOML file, the environment, and the command line, the later one winning.

    # diffuscope.toml
    runs = "runs"
    read_only = true
    models = ["scenes", "hub:stable-diffusion-v1-5/stable-diffusion-v1-5"]
    [limits]
    steps = 50

In the environment the same names stand in capitals behind ``DIFFUSCOPE_``: ``DIFFUSCOPE_READ_ONLY=1``,
``DIFFUSCOPE_LIMITS_STEPS=50``; a list is separated by commas.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from diffuscope.errors import InputError

PREFIX = "DIFFUSCOPE_"
SHORTEST_TOKEN = 16
"""Characters: a shorter token is guessed too soon."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """What a single request, and all of them together, may cost.

    Attributes:
        prompt_characters: of a prompt or concept.
        steps, side, images: of a recording: denoising steps, longer side in pixels, pictures at once.
        edits: that one job may apply.
        variations: that one sweep may draw.
        body_bytes: of a request.
        body_seconds: that a request's body may take to arrive.
        jobs: that may wait.
        job_seconds: after which a job is stopped.
        listeners: event streams open at once.
        region_cells: cells of the self-attention grid up to which regions are given as files.
        products: multiplications that a question may cost that is answered at once: about ten a nanosecond.
        free_bytes: that stay free on the disk of the runs.
        cache_bytes: of answers that are kept in memory.
    """

    prompt_characters: int = Field(2000, ge=1)
    steps: int = Field(200, ge=1, le=1000)
    side: int = Field(1024, ge=8, le=8192)
    images: int = Field(4, ge=1, le=64)
    edits: int = Field(64, ge=1)
    variations: int = Field(256, ge=1)
    body_bytes: int = Field(2 * 2**20, ge=1024)
    body_seconds: float = Field(30.0, gt=0)
    jobs: int = Field(32, ge=1)
    job_seconds: float = Field(3600.0, gt=0)
    listeners: int = Field(256, ge=1)
    region_cells: int = Field(1024, ge=1, le=4096)
    products: float = Field(6e10, gt=0)
    free_bytes: int = Field(2**30, ge=0)
    cache_bytes: int = Field(256 * 2**20, ge=0)


class Settings(_Strict):
    """A server's settings.

    Attributes:
        host: address to listen at. Any but loopback needs a token.
        port: to listen at; 0 takes a free one.
        runs, studies: folders of recordings and of studies.
        token: that every request must show; None lets everyone in who reaches the address.
        read_only: nothing is drawn, changed or removed.
        models: which models may be loaded: ``scenes``, ``hub:owner/name``, or a folder. The first is the default.
        device: where models run (``cpu``, ``cuda``); None for the best there is.
        names: further names that the server is reached by (``demo.example.org``). Others are refused, so that no
            foreign page can reach it under a name of its own.
        example: id of the run that a first visit shows; None for the newest.
        limits: see `Limits`.
    """

    host: str = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65535)
    runs: Path = Path("runs")
    studies: Path = Path("studies")
    token: SecretStr | None = None
    read_only: bool = False
    models: tuple[str, ...] = ("scenes",)
    device: str | None = None
    names: tuple[str, ...] = ()
    example: str | None = None
    limits: Limits = Limits()

    @field_validator("models", "names", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.token is not None:
            secret = self.token.get_secret_value()
            if len(secret) < SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", secret):
                raise ValueError(
                    f"the token needs {SHORTEST_TOKEN} or more letters, digits or ._~- ; make one with: "
                    'python -c "import secrets; print(secrets.token_urlsafe())"'
                )
        elif not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, so it needs a token: --token, or {PREFIX}TOKEN"
            )
        if not self.models:
            raise ValueError("name at least one model")
        return self

    @property
    def secret(self) -> str | None:
        return None if self.token is None else self.token.get_secret_value()


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_settings(
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a file, the environment and the command line.

    Args:
        file: TOML; None for none, or for the one that ``DIFFUSCOPE_CONFIG`` names.
        environment: None for the process's own.
        given: what was said on the command line; None values are left out.

    Raises:
        InputError: a file that cannot be read, an unknown name, or a value that cannot be.
    """
    environment = os.environ if environment is None else environment
    file = file or environment.get(f"{PREFIX}CONFIG") or None
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(Path(file).read_text("utf-8"))
        except OSError as error:
            raise InputError(f"the configuration {file} cannot be read: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"the configuration {file} is no TOML: {error}") from error
    limits = values.pop("limits", {})
    if not isinstance(limits, dict):
        raise InputError(f"limits in {file} is a table: [limits]")
    for name in Settings.model_fields:
        text = environment.get(PREFIX + name.upper())
        if text and name != "limits":
            values[name] = text
    for name in Limits.model_fields:
        text = environment.get(f"{PREFIX}LIMITS_{name.upper()}")
        if text:
            limits[name] = text
    values |= {name: value for name, value in (given or {}).items() if value is not None}
    try:
        return Settings(**values, limits=Limits(**limits))
    except ValidationError as error:
        raise InputError(_line(error)) from error


def _line(error: ValidationError) -> str:
    """The first thing that is wrong. The value is left out: it may be the token."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    said = first["msg"].removeprefix("Value error, ")
    return f"server settings: {name}: {said}" if name else f"server settings: {said}"
