/*
 * The kinds of panel that the boards use, drawn by Grafana's own components where npm has them:
 * curves (TimeSeries) and numbers (BigValue with its sparkline), in Grafana's PanelChrome.
 *
 * Its heatmap is not among the packages; the one here is drawn from the same buckets and colours.
 */
import React from 'react';
import { FieldColorModeId, FieldType, getDisplayProcessor, getFieldSeriesColor } from '@grafana/data';
import { BigValue, PanelChrome, TimeSeries } from '@grafana/ui';

import { Heatmap } from './heatmap.jsx';

export function Panel({ panel, answers, theme, range, width, height }) {
  if (panel.type === 'row') {
    return <h5 style={{ lineHeight: `${height}px`, margin: 0 }}>{panel.title}</h5>;
  }
  const Kind = { stat: Figure, timeseries: Curves, heatmap: Buckets }[panel.type];
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(innerWidth, innerHeight) => (
        <Kind panel={panel} answers={answers} theme={theme} range={range} width={innerWidth} height={innerHeight} />
      )}
    </PanelChrome>
  );
}

/* The frames with a panel's units, thresholds and colours, as Grafana applies them. */
function configured(panel, answers, theme, colour) {
  return answers.map((frame, place) => ({
    ...frame,
    fields: frame.fields.map((field) => {
      if (field.type !== FieldType.number) {
        return { ...field, display: getDisplayProcessor({ field, theme }) };
      }
      const config = { ...panel.fieldConfig.defaults, color: colour, ...field.config };
      const made = { ...field, config, state: { seriesIndex: place, displayName: field.name } };
      made.display = getDisplayProcessor({ field: made, theme });
      return made;
    }),
  }));
}

function Figure({ panel, answers, theme, range, width, height }) {
  const [{ fields }] = configured(panel, answers, theme, { mode: FieldColorModeId.Thresholds });
  const field = fields[1];
  const known = field.values.filter((one) => one !== null);
  const [min, max] = [Math.min(0, ...known), Math.max(0, ...known)];
  const last = field.values.findLast((value) => value !== null);
  const value = last === undefined ? { text: panel.fieldConfig.defaults.noValue, numeric: NaN } : field.display(last);
  return (
    <BigValue
      value={value}
      sparkline={{
        timeRange: range,
        x: fields[0],
        y: { ...field, state: { ...field.state, range: { min, max, delta: max - min } } },
      }}
      colorMode={panel.options.colorMode}
      graphMode={panel.options.graphMode}
      justifyMode={panel.options.justifyMode}
      textMode={panel.options.textMode}
      theme={theme}
      width={width}
      height={height}
    />
  );
}

function Curves({ panel, answers, theme, range, width, height }) {
  const frames = configured(panel, answers, theme, { mode: FieldColorModeId.PaletteClassic });
  frames.forEach((frame) => getFieldSeriesColor(frame.fields[1], theme));
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      timeRange={range}
      timeZone="utc"
      legend={panel.options.legend}
      options={panel.options}
      width={width}
      height={height}
    />
  );
}

function Buckets({ panel, answers, theme, range, width, height }) {
  const frames = configured(panel, answers, theme, { mode: FieldColorModeId.Thresholds });
  return <Heatmap frames={frames} options={panel.options} theme={theme} range={range} width={width} height={height} />;
}
