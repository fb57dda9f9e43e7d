"""
How the boards look: panels, variables and links made in one way.

Every query is bound to the chosen instances, those about providers to the chosen providers too.
Knows no metric by name.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
INSTANCE = 'instance=~"$instance"'
PROVIDER = 'instance=~"$instance",provider=~"$provider"'
RATE = "$__rate_interval"
TAG = "mailquay"

A_SECOND = "suffix:/s"  # of what, the title says
_WIDE = 12  # columns of 24

GOOD, WARN, BAD = "green", "orange", "red"


def board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    """An empty board with the variables, and links to the others."""
    return (
        dashboard.Dashboard(f"Mailquay / {title}")
        .uid(f"mailquay-{uid}")
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Mailquay")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(as_dropdown=True)
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(
            _variable("instance", "Gateway", "label_values(mailquay_build_info, instance)")
        )
        .with_variable(
            _variable(
                "provider",
                "Provider",
                'label_values(mailquay_provider_info{instance=~"$instance"}, provider)',
            )
        )
    )


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def query(expression: str, legend: str = "", *, instant: bool = False) -> prometheus.Dataquery:
    """One query; `instant` for the value of now."""
    target = prometheus.Dataquery().expr(expression).legend_format(legend or "__auto")
    return target.instant() if instant else target.range()


def figure(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    warn: float | None = None,
    bad: float | None = None,
    below: bool = False,
    decimals: int | None = None,
) -> stat.Panel:
    """
    One number, coloured by how it stands.

    Args:
        title: Of the panel.
        description: What it tells, and what to do when it is coloured.
        expression: Gives one series.
        unit: Grafana's name of it.
        warn: From here on it is orange.
        bad: From here on it is red.
        below: Low values are the bad ones.
        decimals: How many; Grafana's choice without.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .with_target(query(expression))
        .color_mode(options.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(options.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(warn, bad, below=below))
        .no_value("none")
        .height(4)
        .span(3)
    )
    return panel if decimals is None else panel.decimals(decimals)


def _thresholds(
    warn: float | None, bad: float | None, *, below: bool
) -> dashboard.ThresholdsConfig:
    colours = [(None, GOOD)]
    if below:
        colours = [(None, BAD if bad is not None else WARN)]
        if bad is not None:
            colours.append((bad, WARN if warn is not None else GOOD))
        if warn is not None:
            colours.append((warn, GOOD))
    else:
        colours += [(at, colour) for at, colour in ((warn, WARN), (bad, BAD)) if at is not None]
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=at, color=colour) for at, colour in colours])
    )


def series(
    title: str,
    description: str,
    *targets: prometheus.Dataquery,
    unit: str = "short",
    stacked: bool = False,
    threshold: float | None = None,
    span: int = 12,
) -> timeseries.Panel:
    """
    Curves over time.

    Args:
        title: Of the panel.
        description: What it tells.
        targets: The queries.
        unit: Grafana's name of it.
        stacked: The curves are parts of one whole.
        threshold: A line above which something is wrong.
        span: Columns of 24.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(options.VisibilityMode.NEVER)
        .span_nulls(False)  # noqa: FBT003 - the library's way
        .legend(_legend(span))
        .tooltip(
            common.VizTooltipOptions()
            .mode(options.TooltipDisplayMode.MULTI)
            .sort(options.SortOrder.DESCENDING)
        )
        .height(8)
        .span(span)
    )
    for target in targets:
        panel = panel.with_target(target)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if threshold is not None:
        panel = panel.thresholds(_thresholds(None, threshold, below=False)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(options.GraphTresholdsStyleMode.DASHED)
        )
    return panel


def _legend(span: int) -> common.VizLegendOptions:
    """Beside curves that have room for it, the largest first; below those that have not."""
    legend = common.VizLegendOptions().show_legend(show_legend=True)
    if span < _WIDE:
        return legend.display_mode(options.LegendDisplayMode.LIST).placement(
            options.LegendPlacement.BOTTOM
        )
    return (
        legend.display_mode(options.LegendDisplayMode.TABLE)
        .placement(options.LegendPlacement.RIGHT)
        .calcs(["max", "lastNotNull"])
        .sort_by("Max")
        .sort_desc(sort_desc=True)
    )


def buckets(
    title: str, description: str, metric: str, selector: str, *, unit: str, span: int = 12
) -> heatmap.Panel:
    """A histogram's buckets over time, by how many fell into each."""
    target = query(f"sum by (le) (increase({metric}_bucket{{{selector}}}[{RATE}]))", "{{le}}")
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(target.format(PromQueryFormat.HEATMAP))
        .unit(unit)
        .calculate(calculate=False)
        .color(
            heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
        )
        .height(8)
        .span(span)
    )


def quantiles(metric: str, selector: str, by: str = "") -> list[prometheus.Dataquery]:
    """The 50th, 95th and 99th percentile of a histogram; `by` adds a label to keep."""
    labels = f"le, {by}" if by else "le"
    prefix = f"{{{{{by}}}}} " if by else ""
    return [
        query(
            f"histogram_quantile({q}, sum by ({labels}) "
            f"(rate({metric}_bucket{{{selector}}}[{RATE}])))",
            f"{prefix}p{round(q * 100)}",
        )
        for q in (0.5, 0.95, 0.99)
    ]


def row(title: str) -> dashboard.Row:
    """A heading above the panels that follow."""
    return dashboard.Row(title)


__all__ = [
    "A_SECOND",
    "INSTANCE",
    "PROVIDER",
    "RATE",
    "board",
    "buckets",
    "figure",
    "quantiles",
    "query",
    "row",
    "series",
]
