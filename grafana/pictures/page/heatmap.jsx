/*
 * A histogram's buckets over time: one row for each bucket, one column for each step, the darker
 * the fewer. Buckets come as Prometheus counts them, each with all below it.
 */
import React, { useEffect, useRef } from 'react';
import { interpolateOranges } from 'd3-scale-chromatic';

const LEFT = 56;
const BOTTOM = 22;

export function Heatmap({ frames, theme, range, width, height }) {
  const canvas = useRef(null);
  useEffect(() => draw(canvas.current, rows(frames), theme, range, width, height));
  return <canvas ref={canvas} width={2 * width} height={2 * height} style={{ width, height }} />;
}

/* The buckets that ever held something, the lowest first, each without those below it. */
function rows(frames) {
  const sorted = frames
    .map((frame) => frame.fields[1])
    .map((field) => ({ field, le: field.labels.le === '+Inf' ? Infinity : Number(field.labels.le) }))
    .sort((one, other) => one.le - other.le);
  const all = sorted.map(({ field, le }, place) => ({
    label: le === Infinity ? '+Inf' : text(field, le),
    counts: field.values.map((count, at) =>
      Math.max(0, (count ?? 0) - (place ? (sorted[place - 1].field.values[at] ?? 0) : 0))
    ),
  }));
  const used = all.map(({ counts }) => counts.some((count) => count > 1e-9));
  return all.slice(used.indexOf(true), used.lastIndexOf(true) + 1);
}

function text(field, value) {
  const shown = field.display(value);
  return `${shown.text}${shown.suffix ?? ''}`;
}

function draw(canvas, found, theme, range, width, height) {
  const pen = canvas.getContext('2d');
  pen.setTransform(2, 0, 0, 2, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${theme.typography.fontFamily}`;
  pen.fillStyle = theme.colors.text.primary;
  pen.textBaseline = 'middle';
  const most = Math.max(...found.flatMap(({ counts }) => counts));
  const across = (width - LEFT) / found[0].counts.length;
  const high = (height - BOTTOM) / found.length;
  const every = Math.ceil(14 / high);
  found.forEach(({ label, counts }, place) => {
    const top = height - BOTTOM - (place + 1) * high;
    pen.textAlign = 'right';
    pen.fillStyle = theme.colors.text.primary;
    if (place % every === 0) {
      pen.fillText(label, LEFT - 8, top + high / 2);
    }
    counts.forEach((count, at) => {
      if (count > 1e-9) {
        pen.fillStyle = interpolateOranges(1 - 0.9 * Math.sqrt(count / most));
        pen.fillRect(LEFT + at * across, top, Math.max(1, across - 0.5), high - 1);
      }
    });
  });
  pen.textAlign = 'center';
  pen.fillStyle = theme.colors.text.primary;
  for (let part = 1; part < 6; part += 1) {
    const at = range.from.valueOf() + ((range.to.valueOf() - range.from.valueOf()) * part) / 6;
    pen.fillText(new Date(at).toISOString().slice(11, 19), LEFT + ((width - LEFT) * part) / 6, height - 8);
  }
}
