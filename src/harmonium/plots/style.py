"""One look for every picture: few colours that colour-blind readers tell apart, thin lines, no boxes."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe & Ito, "Color Universal Design" (2008)
DATA = "#0072b2"
"""Data, training rows."""
HELD_OUT = "#009e73"
"""Validation and test rows."""
MODEL = "#d55e00"
"""What the model says: samples, its moments."""
INK = "#1f2329"
MUTED = "#6e7680"
LINE = "#c9ced6"
MISSING_GLYPH = ".*missing from font"

PAGE_COLOURS = {
    "ink": INK,
    "muted": MUTED,
    "line": LINE,
    "data": DATA,
    "held-out": HELD_OUT,
    "model": MODEL,
}


def numbers(name: str, x: Any) -> np.ndarray:
    """What is to be drawn as an array of float64, from an array, a tensor, a DataFrame or lists.

    Raises:
        TypeError: it holds anything but numbers.
    """
    import numpy as np

    from harmonium.models.table import as_numbers

    x = as_numbers(x, name)
    return np.asarray(x if isinstance(x, np.ndarray) else x.cpu(), dtype=float)


def figure(width: float, height: float) -> Figure:
    """An empty figure, inches, without a background and apart from pyplot's list of figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def apart(fig: Figure) -> None:
    """More room between the panels of a figure that holds pictures without axes."""
    fig.set_layout_engine("constrained", wspace=0.06)


def axes(ax: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    """Axes with a title on the left, labels, and two thin lines instead of a box."""
    ax.set_facecolor("none")
    ax.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=8)
    ax.set_xlabel(x, fontsize=9.5, color=MUTED)
    ax.set_ylabel(y, fontsize=9.5, color=MUTED)
    ax.tick_params(colors=MUTED, labelsize=9, length=3, width=0.8)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)
        spine.set_linewidth(0.8)
    return ax


def legend(ax: Axes | Figure, **where: Any) -> None:
    """A legend without a frame, within axes or outside of all that a figure has."""
    ax.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=1.4, **where)


def blank(ax: Axes, title: str = "") -> Axes:
    """Axes that only hold a picture."""
    axes(ax, title)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def colour_map(signed: bool) -> Colormap:
    """Red and blue around zero, or from paper to ink; thin lines where there is no value."""
    import matplotlib

    return matplotlib.colormaps["RdBu_r" if signed else "gray_r"].with_extremes(bad=LINE)


def png_of_pixels(pixels: np.ndarray) -> bytes:
    """The content of a PNG file of these pixels, (height, width, 4) bytes."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return file.getvalue()


def png(fig: Figure, dpi: int = 160) -> bytes:
    """The figure as a PNG file, on white."""
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=dpi, facecolor="white")
    return file.getvalue()


def svg(fig: Figure, alt: str) -> str:
    """The figure as an <svg> element that takes its colours from the page it stands in.

    The page may define --ink, --muted, --line, --data, --held-out and --model; what it doesn't stays as it is
    here. `alt` says in words what is to be seen. Equal figures give equal texts.
    """
    from html import escape

    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    def drawn(letters: str) -> str:
        file, canvas, dpi = io.StringIO(), fig.canvas, fig.dpi
        with matplotlib.rc_context({"svg.hashsalt": alt, "svg.fonttype": letters}):
            try:  # not `savefig`, which would draw everything once more to lay it out
                FigureCanvasSVG(fig).print_svg(file, metadata={"Date": None, "Creator": None})
            finally:
                fig.set_canvas(canvas)
                fig.set_dpi(dpi)
        return file.getvalue()

    with warnings.catch_warnings():
        warnings.filterwarnings("error", MISSING_GLYPH)
        try:
            text = drawn("path")
        except UserWarning:
            warnings.filterwarnings("ignore", MISSING_GLYPH)
            text = drawn("none")  # as text, for which browsers have fonts of every script
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for name, colour in PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    size = re.compile(r'<svg([^>]*?) width="[\d.]+pt"')
    text = size.sub(r"<svg\1", text, count=1)
    text = re.sub(r'<svg([^>]*?) height="[\d.]+pt"', r"<svg\1", text, count=1)
    width = int(fig.get_figwidth() * 96)
    label = f'<svg role="img" aria-label="{escape(alt, quote=True)}" style="max-width: {width}px"'
    return text.replace("<svg", label, 1)
