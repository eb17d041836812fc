"""A finding as a page: Markdown with tables, and its figures in two themes beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from diffuscope.errors import RunFolderError
from diffuscope.figures.canvas import ThemeName
from diffuscope.recording.files import write_atomic

Draw = Callable[[ThemeName], Image.Image]
LARGEST = 200_000
"""Bytes of a figure: pages are read from a repository."""
THEMES: dict[ThemeName, str] = {"light": "", "dark": "-dark"}
"""Each theme, and what its files' names end in."""


@dataclass
class Page:
    """A written result.

    Attributes:
        name: of the finding, and of its files.
        title: its heading.
        parts: paragraphs, tables and figures, in order.
        figures: name to how it is drawn.
    """

    name: str
    title: str
    parts: list[str] = field(default_factory=list)
    figures: dict[str, Draw] = field(default_factory=dict)

    def say(self, *sentences: str) -> None:
        """A paragraph."""
        self.parts.append(wrapped(" ".join(filter(None, sentences))))

    def short(self, *sentences: str) -> None:
        """What came out, first on the page."""
        self.parts.insert(0, wrapped("**In short:** " + " ".join(sentences)))

    def head(self, text: str) -> None:
        """A heading of the second order."""
        self.parts.append(f"## {text}")

    def points(self, items: Iterable[str]) -> None:
        """A list."""
        self.parts.append("\n".join(wrapped(f"- {item}", "  ") for item in items))

    def table(self, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table of texts."""
        lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        self.parts.append("\n".join(lines))

    def figure(self, name: str, said: str, draw: Draw) -> None:
        """A figure, light on the page and dark beside it; `said` is what it shows, for those who do not see it."""
        self.figures[name] = draw
        light, dark = (f"images/{self.name}-{name}{ending}.png" for ending in THEMES.values())
        self.parts.append(f"![{said}]({light})\n\n[The same on dark]({dark})")

    def text(self) -> str:
        """The Markdown."""
        return "\n\n".join([f"# {self.title}", *self.parts]) + "\n"

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``NAME.md`` and ``images/NAME-FIGURE.png`` (and ``-dark``) into a folder; the files, the page first.

        Raises:
            RunFolderError: they cannot be written.
        """
        folder = Path(folder)
        page = folder / f"{self.name}.md"
        files = [page]
        try:
            (folder / "images").mkdir(parents=True, exist_ok=True)
            for name, draw in self.figures.items():
                for theme, ending in THEMES.items():
                    path = folder / "images" / f"{self.name}-{name}{ending}.png"
                    write_atomic(path, [small(draw(theme))])
                    files.append(path)
            write_atomic(page, [self.text().encode("utf-8")])
        except OSError as error:
            raise RunFolderError(f"cannot write {folder}: {error.strerror or error}") from error
        return files


def small(image: Image.Image) -> bytes:
    """A picture as PNG of few bytes: of 256 colours, and smaller where that is not enough."""
    while True:
        out = io.BytesIO()
        few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        few.save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST or image.width < 400:
            return out.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)


def wrapped(text: str, indent: str = "", width: int = 118) -> str:
    """A paragraph in lines of the house's width."""
    import textwrap

    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number for a sentence or table; a dash where there is none."""
    if value is None or value != value:
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    return text.replace("-", "−")


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """An estimate with its 95% interval."""
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"


def probability(p: float) -> str:
    """A p-value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def share(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.0f}%"
