"""Vega-Lite charts, drawn to SVG by vl-convert: no JavaScript runs in the page, and nothing is loaded.

Colours are CSS variables of the page (templates/style.css), so a chart follows its light or dark theme. Every chart is
drawn for two widths, because text that is shrunk to a phone's width cannot be read. Colours of series are those of
.dvc/plots (Okabe & Ito's, which colour-blind readers can distinguish); verdicts have shapes of their own too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

VEGA_LITE = "5.20"  # the language's version; vl-convert holds several
WIDE, NARROW = 680, 318  # pixels; style.css shows one of the two
FONT = 12  # smallest text, pixels
LABEL_LIMITS = {WIDE: 260, NARROW: 120}  # longest label of the y axis, pixels
MATRIX_WIDTHS = {WIDE: 480, NARROW: 170}  # of a confusion matrix's cells together, pixels
SMALLEST_CELL = 27  # side of its cells
VERDICTS = {  # verdict -> colour and shape
    "better": ("var(--better)", "triangle-right"),
    "mixed": ("var(--mixed)", "diamond"),
    "no clear difference": ("var(--unclear)", "circle"),
    "no difference": ("var(--same)", "circle"),
    "worse": ("var(--worse)", "triangle-left"),
}
SERIES = [f"var(--series-{k})" for k in range(8)]
MANY_POINTS = 300  # of a chart; above, lines have no points

Rows = Sequence[Mapping[str, Any]]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """One chart in its two widths; `narrow` is None where one drawing does for both.

    `may_scroll` says that it may be wider than the page. Its box then takes the keyboard's focus, or only a mouse or a
    finger could move it.
    """

    title: str
    wide: Markup
    narrow: Markup | None = None
    may_scroll: bool = False


def in_two_widths(title: str, name: str, spec: Spec) -> Chart:
    """Draw a chart for a wide and for a narrow page.

    Args:
        title: above the chart.
        name: for screen readers: what the chart shows.
        spec: Vega-Lite, without width.
    """
    return Chart(title, _svg(spec, name, WIDE), _svg(spec, name, NARROW))


def intervals(rows: Rows, x_title: str) -> Spec:
    """Points with intervals, one row each: name, value, low, high, verdict; a line at 0."""
    found = [verdict for verdict in VERDICTS if any(row["verdict"] == verdict for row in rows)]
    scale = {"domain": found, "range": [VERDICTS[verdict][0] for verdict in found]}
    shapes = {"domain": found, "range": [VERDICTS[verdict][1] for verdict in found]}
    legend = {"title": None, "orient": "top", "columns": 2}
    return {
        "data": {"values": list(rows)},
        "height": {"step": 26},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "color": {"field": "verdict", "type": "nominal", "scale": scale, "legend": legend},
        },
        "layer": [
            {
                "data": {"values": [{"at": 0}]},
                "mark": {"type": "rule", "strokeDash": [4, 4]},
                "encoding": {
                    "x": {"field": "at", "type": "quantitative"},
                    "y": {"value": 0},
                    "y2": {"value": "height"},
                    "color": {"value": "var(--ink)"},
                },
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": {"field": "low", "type": "quantitative", "title": x_title},
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
                "encoding": {
                    "x": {"field": "value", "type": "quantitative"},
                    "shape": {"field": "verdict", "type": "nominal", "scale": shapes, "legend": legend},
                },
            },
        ],
    }


def shares(rows: Rows, x_title: str) -> Spec:
    """Points with intervals of a score between 0 and 1: name, value, low, high."""
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    x = {"type": "quantitative", "title": x_title, "scale": {"domainMax": 1, "zero": False}}
    return {
        "data": {"values": list(rows)},
        "height": {"step": 24},
        "encoding": {"y": y, "color": {"value": "var(--series-0)"}},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"x": {"field": "value", **x}},
            },
        ],
    }


def bars(rows: Rows, x_title: str) -> Spec:
    """Bars, one row each: name, value."""
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    return {
        "data": {"values": list(rows)},
        "height": {"step": 24},
        "encoding": {"y": y, "x": {"field": "value", "type": "quantitative", "title": x_title}},
        "layer": [
            {"mark": {"type": "bar", "color": "var(--series-0)"}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "color": "var(--ink)"},
                "encoding": {"text": {"field": "value", "type": "quantitative"}},
            },
        ],
    }


def curves(rows: Rows, y_title: str) -> Spec:
    """Lines over epochs, one of each member and fold: member, fold, epoch (from 1), value."""
    members = sorted({str(row["member"]) for row in rows})
    colours = {"domain": members, "range": [SERIES[k % len(SERIES)] for k in range(len(members))]}
    legend = {"title": None, "orient": "top", "columns": 2}
    last = max(int(row["epoch"]) for row in rows)
    at = list(range(1, last + 1, 1 + last // 9))
    whole = {"values": at, "tickCount": len(at), "format": "d"}
    x = {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": whole}
    return {
        "data": {"values": list(rows)},
        "height": 240,
        "mark": {"type": "line", "point": len(rows) <= MANY_POINTS, "strokeWidth": 1.5},
        "encoding": {
            "x": {**x, "scale": {"zero": False, "nice": False}},
            "y": {"field": "value", "type": "quantitative", "title": y_title, "scale": {"zero": False}},
            "color": {"field": "member", "type": "nominal", "scale": colours, "legend": legend},
            "detail": {"field": "fold"},
        },
    }


def reliability(rows: Rows) -> Spec:
    """Accuracy by confidence with intervals, and the diagonal of a calibrated model."""
    axis = {"type": "quantitative", "scale": {"domainMax": 1, "zero": False}}
    x = {"field": "confidence", **axis, "title": "mean probability of the likeliest class"}
    diagonal = [{"at": min(0.99, *(min(row["confidence"], row["low"]) for row in rows))}, {"at": 1}]
    return {
        "data": {"values": list(rows)},
        "height": 300,
        "layer": [
            {
                "data": {"values": diagonal},
                "mark": {"type": "line", "color": "var(--ink)", "strokeDash": [4, 4]},
                "encoding": {"x": {"field": "at", **axis}, "y": {"field": "at", **axis}},
            },
            {
                "mark": {"type": "rule", "color": "var(--series-0)", "strokeWidth": 2},
                "encoding": {"x": x, "y": {"field": "low", **axis, "title": "accuracy"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "color": "var(--series-0)", "opacity": 1},
                "encoding": {"x": x, "y": {"field": "accuracy", **axis, "title": "accuracy"}},
            },
        ],
    }


def heatmap(title: str, name: str, rows: Rows, n_classes: int) -> Chart:
    """Draw a confusion matrix: label, predicted, images, share; the page scrolls where it is wider.

    Few classes have large cells, which are smaller on a narrow page. At SMALLEST_CELL the names of all columns fit.
    """
    wide, narrow = (max(SMALLEST_CELL, min(96, width // n_classes)) for width in MATRIX_WIDTHS.values())
    drawn = _svg(_matrix(rows, wide), name, {"step": wide})
    small = None if narrow == wide else _svg(_matrix(rows, narrow), name, {"step": narrow})
    return Chart(title, drawn, small, may_scroll=True)


def _matrix(rows: Rows, cell: int) -> Spec:
    labels = {"labelLimit": 110, "labelAngle": -40, "labelOverlap": False}  # else Vega hides some names
    return {
        "data": {"values": list(rows)},
        "height": {"step": max(SMALLEST_CELL, min(cell, 48))},
        "encoding": {
            "x": {"field": "predicted", "type": "nominal", "sort": None, "title": "predicted", "axis": labels},
            "y": {"field": "label", "type": "nominal", "sort": None, "title": "label"},
        },
        "layer": [
            {
                "mark": {"type": "rect", "color": "var(--series-0)"},
                "encoding": {
                    "opacity": {
                        "field": "share",
                        "type": "quantitative",
                        "scale": {"domain": [0, 1], "range": [0.04, 1]},
                        "legend": None,
                    }
                },
            },
            {
                "transform": [{"filter": "datum.images > 0"}],
                "mark": {"type": "text", "fontSize": FONT},
                "encoding": {
                    "text": {"field": "images"},
                    "color": {
                        "condition": {"test": "datum.share > 0.55", "value": "var(--on-strong)"},
                        "value": "var(--ink)",
                    },
                },
            },
        ],
    }


def _svg(spec: Spec, name: str, width: int | Spec) -> Markup:
    """Draw a chart; `width` is of the whole chart, or the step of a discrete x axis."""
    import vl_convert  # takes a second, which stages that only import this file need not spend

    limit = LABEL_LIMITS[width] if isinstance(width, int) else 110
    fitted = {"autosize": {"type": "fit-x", "contains": "padding"}} if isinstance(width, int) else {}
    whole = {**spec, "width": width, **fitted, "background": None, "config": _config(limit)}
    drawn = vl_convert.vegalite_to_svg(whole, vl_version=VEGA_LITE)
    start = Markup('<svg role="img" aria-label="{}" ').format(escape(name))
    return start + Markup(drawn.removeprefix("<svg "))


def _config(label_limit: int) -> Spec:
    ink = {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": FONT, "titleFontSize": FONT}
    lines = {"gridColor": "var(--line)", "domainColor": "var(--line)", "tickColor": "var(--line)"}
    return {
        "aria": False,  # the SVG has one name; its values stand in a table beside it
        "axis": {**ink, **lines, "titleFontWeight": "normal", "labelLimit": label_limit},
        "axisX": {"labelOverlap": True, "tickCount": 5},
        "legend": {**ink, "labelLimit": 130, "symbolSize": 110},
        "text": {"fontSize": FONT},
        "view": {"stroke": None},
    }
