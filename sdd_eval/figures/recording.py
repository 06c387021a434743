"""Write a figure as PDF, SVG and PNG: draw it once, and replay the drawing for each format.

Most of the drawing time is spent in matplotlib's traversal of axes, ticks and texts, which is the
same for every format. This module imports matplotlib; `sdd_eval.figures` exports it lazily.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.backend_bases import FigureCanvasBase, GraphicsContextBase, RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedPath

from sdd_eval.figures.style import PAGE, house_style

#: Points per inch, the resolution of the recording.
POINTS = 72
#: Metadata that would make two equal files differ: time and version.
_METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
#: Minimum height in inches of a readable panel.
LOWEST = 0.3
#: A method of a renderer with its arguments.
Call = tuple[str, list[Any], dict[str, Any]]
#: The methods of a renderer that are recorded.
_CALLS = (
    *("draw_path", "draw_markers", "draw_path_collection", "draw_quad_mesh", "draw_text"),
    *("draw_tex", "draw_image", "draw_gouraud_triangles", "open_group", "close_group"),
    *("start_rasterizing", "stop_rasterizing", "start_filter", "stop_filter"),
)


def figure_files(figure: Figure, kinds: Iterable[str] = tuple(_METADATA)) -> dict[str, bytes]:
    """Return a figure as files by kind: "pdf", "svg", "png"; equal figures have equal files.

    Fonts are embedded. A figure whose titles leave no room for its panels is made taller, up to a
    page. The style must be the one in which the figure was created; afterwards the figure's layout
    is complete, in points of print.
    """
    with house_style(), warnings.catch_warnings():
        # scripts that the font lacks are drawn as boxes; the report has the name as text
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        rcParams["savefig.bbox"] = None  # the width is that of a column
        page = _recorded(figure)
        return {kind: _file(page, kind) for kind in kinds}


def _recorded(figure: Figure) -> Figure:
    """Draw a figure; return one of the same size whose only artist repeats the drawing."""
    if rcParams["savefig.facecolor"] != "auto":
        figure.set_facecolor(rcParams["savefig.facecolor"])
    figure.dpi = POINTS
    recorder = _drawn(figure)
    width, height = figure.get_size_inches()
    page = Figure((width, height), frameon=False)
    page.add_artist(_Replay(recorder.calls))
    return page


def _drawn(figure: Figure) -> _Recorder:
    """Draw a figure; make it taller while titles and legend leave its panels too little room."""
    width, height = figure.get_size_inches()
    recorder = _RecordingCanvas(figure).get_renderer()
    with warnings.catch_warnings():
        if height < PAGE:
            warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure.draw(recorder)
    panels = [axes for axes in figure.axes if axes.get_subplotspec()]  # without colour bars
    lowest = min((height * axes.get_position().height for axes in panels), default=LOWEST)
    if lowest >= LOWEST or height >= PAGE:
        return recorder
    figure.set_size_inches(width, min(1.25 * height, PAGE))
    return _drawn(figure)


def _file(page: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if kind == "png" else {}
    page.savefig(buffer, format=kind, metadata=_METADATA[kind], **options)
    return buffer.getvalue()


class _RecordingCanvas(FigureCanvasBase):
    """A canvas whose layout and drawing use one renderer, which measures each text once."""

    def get_renderer(self) -> _Recorder:
        if not hasattr(self, "_recorder"):
            self._recorder = _Recorder(self.figure)
        return self._recorder


class _Recorder(RendererBase):
    """A renderer that keeps its calls; distances are in points, and y points upwards."""

    def __init__(self, figure: Figure) -> None:
        super().__init__()
        width, height = POINTS * figure.get_size_inches()
        self._size = float(width), float(height)
        self.calls: list[Call] = []
        for name in _CALLS:
            setattr(self, name, functools.partial(self._record, name))

    def _record(self, name: str, *arguments: Any, **options: Any) -> None:
        self.calls.append((name, [_snapshot(value) for value in arguments], options))

    def flipy(self) -> bool:
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self._size

    def get_image_magnification(self) -> float:
        return float(rcParams["savefig.dpi"]) / POINTS


def _snapshot(value: Any) -> Any:
    """Return a copy of an argument that later calls do not change."""
    if isinstance(value, GraphicsContextBase):
        return _context(value, GraphicsContextBase())
    return value.frozen() if isinstance(value, Transform) else value


def _context(source: GraphicsContextBase, target: GraphicsContextBase) -> GraphicsContextBase:
    target.copy_properties(source)
    return target


class _Replay(Artist):
    """An artist that repeats calls at the resolution of the renderer."""

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self.calls = calls

    def draw(self, renderer: Any) -> None:
        """Repeat the calls on a renderer, scaled from points to its pixels."""
        frames: dict[Any, Any] = {}
        for name, arguments, options in self.calls:
            scale = renderer.points_to_pixels(1.0)
            values = [_scaled(value, scale, renderer, frames) for value in arguments]
            if name in ("draw_text", "draw_tex", "draw_image"):
                x, y = scale * values[1], scale * values[2]
                flip = name != "draw_image" and renderer.flipy()
                values[1:3] = x, renderer.get_canvas_width_height()[1] - y if flip else y
            getattr(renderer, name)(*values, **options)


def _scaled(value: Any, scale: float, renderer: Any, frames: dict[Any, Any]) -> Any:
    """Return transforms, and the clipping of a graphics context, in pixels of the renderer."""
    if isinstance(value, Transform):
        return value if scale == 1 else Affine2D(np.diag([scale, scale, 1.0]) @ value.get_matrix())
    if not isinstance(value, GraphicsContextBase):
        return value
    context = _context(value, renderer.new_gc())
    if scale == 1:
        return context
    frame, clip = value.get_clip_rectangle(), value.get_clip_path()
    path, transform = cast("tuple[Any, Transform]", clip)
    if frame is not None:
        points = frames.setdefault(frame, Bbox(scale * frame.get_points()))
        context.set_clip_rectangle(points)
    if path is not None:
        context.set_clip_path(TransformedPath(path, _scaled(transform, scale, renderer, frames)))
    return context
