/*
 * A board's queries, asked of a Prometheus over one range of time, as Grafana's data frames.
 *
 * An error of Prometheus, and a query that gives no series, are errors here: an empty panel is no
 * picture of anything.
 */
import { createDataFrame, dateTime, FieldType } from '@grafana/data';

const POINTS = 300;
const VARIABLES = {
  $__rate_interval: '10s',
  $instance: '.*',
  $provider: '.*',
};

export async function ask(prometheus, board, from, to) {
  const range = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
  range.raw = { from: range.from, to: range.to };
  const step = Math.max(1, Math.round((to - from) / POINTS));
  const answers = new Map();
  for (const panel of board.panels) {
    const found = (panel.targets ?? []).map((target) => query(prometheus, target, from, to, step));
    answers.set(panel, (await Promise.all(found)).flat());
    if (panel.targets?.length && !answers.get(panel).length) {
      throw new Error(`no series: ${panel.title}`);
    }
  }
  return { range, answers };
}

async function query(prometheus, target, from, to, step) {
  const seconds = `${Math.round(to - from)}s`;
  const expression = Object.entries({ ...VARIABLES, $__range: seconds }).reduce(
    (text, [name, value]) => text.replaceAll(name, value),
    target.expr
  );
  const asked = new URLSearchParams({ query: expression, start: from, end: to, step });
  const answer = await (await fetch(`${prometheus}/api/v1/query_range?${asked}`)).json();
  if (answer.status !== 'success') {
    throw new Error(`${answer.error}: ${expression}`);
  }
  return answer.data.result.map((series) => frame(series, target.legendFormat, Number(from), Number(to), step));
}

/* One series with a value, or null, at every step. */
function frame(series, legend, from, to, step) {
  const found = new Map(series.values.map(([at, value]) => [Math.round(at - from), Number(value)]));
  const times = [];
  const values = [];
  for (let at = 0; from + at <= to; at += step) {
    const value = found.get(at);
    times.push((from + at) * 1000);
    values.push(value === undefined || Number.isNaN(value) ? null : value);
  }
  const { __name__: metric, ...labels } = series.metric;
  const name =
    legend === '__auto'
      ? Object.values(labels).join(' ') || 'Value'
      : legend.replaceAll(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? '').trim() || 'Value';
  return createDataFrame({
    refId: name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times, config: {} },
      { name, type: FieldType.number, values, labels, config: { displayName: name } },
    ],
  });
}
