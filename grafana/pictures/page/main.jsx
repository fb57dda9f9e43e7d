/*
 * One board as a page: ?board=overview.json&prometheus=http://127.0.0.1:9090&from=…&to=… (seconds).
 *
 * Reads the committed board and asks a real Prometheus; `panels.jsx` draws. When all is drawn,
 * `window.drawn` is the height of the page in pixels, or the reason why it is not.
 */
import React from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles } from '@grafana/ui';

import { Panel } from './panels.jsx';
import { ask } from './prometheus.js';

const WIDTH = 1400;
const MARGIN = 16;
const CELL = 30;
const GAP = 8;
const COLUMNS = 24;

const theme = createTheme({ colors: { mode: 'dark' } });

function place({ x, y, w, h }) {
  const column = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
  return {
    left: x * (column + GAP),
    top: y * (CELL + GAP),
    width: w * column + (w - 1) * GAP,
    height: h * CELL + (h - 1) * GAP,
  };
}

function Board({ board, panels, range }) {
  const rows = Math.max(...board.panels.map((panel) => panel.gridPos.y + panel.gridPos.h));
  const chip = {
    border: `1px solid ${theme.colors.border.medium}`,
    borderRadius: 2,
    marginRight: 8,
    padding: '4px 8px',
  };
  const span = `${range.from.utc().format('HH:mm:ss')} to ${range.to.utc().format('HH:mm:ss')} UTC`;
  return (
    <div style={{ padding: MARGIN, width: WIDTH }}>
      <h3>{board.title}</h3>
      <div style={{ margin: '12px 0', ...theme.typography.bodySmall }}>
        {board.templating.list.map(({ name, label }) => (
          <span key={name} style={chip}>
            {label}: All
          </span>
        ))}
        <span style={chip}>{span}</span>
      </div>
      <div style={{ position: 'relative', height: rows * (CELL + GAP) - GAP }}>
        {panels.map(({ panel, answers }) => (
          <div key={panel.id ?? panel.title} style={{ position: 'absolute', ...place(panel.gridPos) }}>
            <Panel panel={panel} answers={answers} theme={theme} range={range} {...place(panel.gridPos)} />
          </div>
        ))}
      </div>
    </div>
  );
}

async function draw() {
  const given = new URLSearchParams(window.location.search);
  const board = await (await fetch(given.get('board'))).json();
  const { range, answers } = await ask(given.get('prometheus'), board, given.get('from'), given.get('to'));
  const panels = board.panels.map((panel) => ({ panel, answers: answers.get(panel) }));
  createRoot(document.getElementById('board')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Board board={board} panels={panels} range={range} />
    </ThemeContext.Provider>
  );
  // Charts draw themselves a moment after they are put there; two frames with nothing left to do
  // are the end of it.
  await new Promise((done) => requestIdleCallback(() => requestAnimationFrame(() => requestAnimationFrame(done))));
  window.drawn = document.getElementById('board').scrollHeight;
}

draw().catch((error) => {
  window.drawn = String(error.stack ?? error);
});
