"""
Pictures of drills: what was handed over and what waited, second by second, as small PNG files.

Draws what `series` has counted and decides nothing. The colours are those of Okabe and Ito, which
people with any colour vision can tell apart; no meaning hangs on a colour alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tests.drills.ground import Finding
from tests.drills.record import Record
from tests.drills.series import Series, rates
from tests.drills.trouble import BEGIN, CAUGHT_UP, END, PROVIDERS

_COLOURS = {
    "smarthost": "#0072B2",
    "rest_v1": "#E69F00",
    "form_v2": "#009E73",
    "waiting": "#999999",
    "429": "#CC79A7",
    "open": "#D55E00",
    "half_open": "#F0E442",
    "mark": "#000000",
}
_DPI = 100
_SHADES = 64  # lines and letters need no more, and the file is a third
_WINDOW_S = 1.0

Draw = Callable[[Axes, Finding], None]


def draw(record: Record, folder: Path) -> list[Path]:
    """
    Draw all pictures of a record, over those that are there.

    Args:
        record: What was found.
        folder: Where to; made where it is missing.

    Returns:
        The files.

    Raises:
        ValueError: There is no picture for one of the drills.
    """
    found: dict[str, list[tuple[Finding, Draw]]] = {}
    for finding in record.findings:
        name, how = _picture_of(finding)
        found.setdefault(name, []).append((finding, how))
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(_figure(panels), folder / f"{name}.png") for name, panels in found.items()]


def _picture_of(finding: Finding) -> tuple[str, Draw]:
    """The picture in which a drill has a panel, and how that is drawn."""
    kind, colon, _ = finding.drill.partition(":")
    if colon and kind in PROVIDERS:
        return f"trouble-{kind.replace('_', '-')}", _trouble
    for word, name, how in (
        ("limit", "limit", _limit),
        ("personal", "together", _course),
        ("password", "urgent", _course),
        ("throttled", "throttled", _course),
        ("hangs", "hung", _trouble),
    ):
        if word in finding.drill:
            return name, how
    raise ValueError(f"no picture for {finding.drill}")


def _figure(panels: Sequence[tuple[Finding, Draw]]) -> Figure:
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    width, height = (4.5 * columns, 2.6 * rows + 0.5) if columns > 1 else (7.0, 3.2)
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    legend: dict[str, object] = {}
    for place, (finding, how) in enumerate(panels):
        ax = axes[place // columns][place % columns]
        how(ax, finding)
        slower = sum(counts[-1] for counts in finding.series.throttled.values())
        ax.set_title(f"{finding.drill}; 429 or 421: {slower}" if slower else finding.drill)
        ax.title.set_fontsize(9)
        ax.set_xlabel("seconds", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.set_xlim(0, len(finding.series.waiting) * finding.series.step_s)
        ax.set_ylim(bottom=0)
        ax.grid(visible=True, linewidth=0.3)
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            legend.setdefault(label, handle)
    figure.legend(
        list(legend.values()),
        list(legend),
        loc="outside lower center",
        ncols=3,
        fontsize=7,
        frameon=False,
    )
    return figure


def _limit(ax: Axes, finding: Finding) -> None:
    """The pace beside the limit."""
    _handed_over(ax, finding.series, window_s=2.0)
    ax.axhline(5, color=_COLOURS["mark"], linewidth=0.8, linestyle="--", label="limit")
    _throttled(ax, finding.series)
    ax.set_ylabel("letters a second", fontsize=8)
    ax.set_ylim(0, 7)


def _course(ax: Axes, finding: Finding) -> None:
    """Letters handed over so far, and those that wait."""
    series = finding.series
    for name, counts in series.handed_over.items():
        ax.plot(_times(series), counts, color=_COLOURS[name], label=f"at {name}, in all")
    _waiting(ax, series)
    _throttled(ax, series)
    for (at, words), style in zip(series.marks, (":", "--"), strict=False):
        ax.axvline(at, color=_COLOURS["mark"], linewidth=1, linestyle=style, label=words)
    ax.set_ylabel("letters", fontsize=8)


def _trouble(ax: Axes, finding: Finding) -> None:
    """Pace and backlog; the time of trouble is shaded, the circuit a band at the bottom."""
    series = finding.series
    marks = {words: at for at, words in series.marks}
    ax.axvspan(marks[BEGIN], marks[END], color=_COLOURS["mark"], alpha=0.08, label="trouble")
    _waiting(ax, series)
    _handed_over(ax, series, window_s=_WINDOW_S)
    if CAUGHT_UP in marks:
        at = marks[CAUGHT_UP]
        ax.axvline(at, color=_COLOURS["mark"], linewidth=1, linestyle=":", label=CAUGHT_UP)
    _throttled(ax, series)
    _circuits(ax, series)
    ax.set_ylabel("letters, letters a second", fontsize=8)


def _handed_over(ax: Axes, series: Series, *, window_s: float) -> None:
    for name, counts in series.handed_over.items():
        paces = rates(counts, series.step_s, window_s)
        label = f"handed over to {name}, a second"
        ax.plot(_times(series), paces, color=_COLOURS[name], linewidth=1.2, label=label)


def _waiting(ax: Axes, series: Series) -> None:
    ax.fill_between(
        _times(series), series.waiting, color=_COLOURS["waiting"], alpha=0.5, label="waiting"
    )


def _throttled(ax: Axes, series: Series) -> None:
    """A cross on the axis wherever an answer demanded a slower pace."""
    times = _times(series)
    found = [
        times[place]
        for counts in series.throttled.values()
        for place in range(len(counts))
        if counts[place] > (counts[place - 1] if place else 0)
    ]
    if found:
        cross = {"marker": "x", "s": 16, "color": _COLOURS["429"], "clip_on": False, "zorder": 3}
        ax.scatter(found, [0] * len(found), label="answer of 429 or 421", **cross)


def _circuits(ax: Axes, series: Series) -> None:
    """A band wherever the circuit was not closed."""
    end = len(series.waiting) * series.step_s
    for changes in series.circuits.values():
        for (at, state), (until, _) in zip(changes, [*changes[1:], (end, "")], strict=True):
            if state in {"open", "half_open"}:
                label = f"circuit {state.replace('_', ' ')}"
                ax.axvspan(at, until, ymax=0.05, color=_COLOURS[state], label=label)


def _times(series: Series) -> list[float]:
    return [place * series.step_s for place in range(len(series.waiting))]


def _save(figure: Figure, path: Path) -> Path:
    """As a PNG with few colours, the same octets for the same figures."""
    octets = io.BytesIO()
    figure.savefig(octets, format="png")
    with Image.open(octets) as image:
        few = image.convert("RGB").quantize(
            _SHADES, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        few.save(path, optimize=True)
    return path
