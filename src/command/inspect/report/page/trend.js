// ---- the trend: charts, and the same numbers as a table

const SVG = 'http://www.w3.org/2000/svg';
/** The width of a chart, and that of its scale on the left, in units of the drawing. */
const WIDE = 1000;
const LEFT = 52;

/** The series of the charts of summaries without text, from the bottom up: name, CSS class, and statuses. */
const SERIES = [
  ['empty', 'f-empty', [1]],
  ['not found', 'f-not-found', [2]],
  ['no answer', 'f-failed', [3]],
  ['not text, not requested or no id', 'f-other', [4, 5, 6]],
];

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sums of one account's days, or of all accounts', by day, week or month, so that there are not too many bars. */
function buckets(index) {
  let days = everyDay;
  if (index >= 0) {
    days = new Map();
    eachDay(accounts[index], (record) => days.set(record.day, copyOf(record)));
  }
  const all = [...days.keys()].sort((a, b) => a - b);
  if (!all.length) return { unit: 'day', list: [] };
  const length = all[all.length - 1] - all[0];
  const unit = length < 93 ? 'day' : length < 800 ? 'week' : 'month';
  const keyOf = { day: (day) => day, week: (day) => day - weekdayOf(day), month: monthOf }[unit];
  const nameOf = { day: shortDate, week: (monday) => `week of ${shortDate(monday)}`, month: monthName }[unit];
  const sums = new Map();
  for (const day of all) {
    const key = keyOf(day);
    if (!sums.has(key)) sums.set(key, { name: nameOf(key), ...tally() });
    add(sums.get(key), days.get(day));
  }
  return { unit, list: [...sums.values()] };
}

const without = (sums, kind, statuses) => statuses.reduce((sum, status) => sum + sums[kind][status], 0);

/** A round number that is at least `most`, and whose half is round too. */
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1e-9)));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= most * 0.999) || most;
}

function drawTrend(index) {
  const { unit, list } = buckets(index);
  const enough = list.some((sums) => sums.segments > 0);
  byId('trend').hidden = false;
  byId('trend-details').hidden = !enough;
  if (!enough) {
    byId('charts').replaceChildren(el('p', {}, 'No segment is archived in this period.'));
    return;
  }
  const segments = list.map((sums) => [[sums.segments, 'f-segments']]);
  const charts = [chart(`Segments by ${unit}`, list, segments, short, [])];
  for (const [kind, name] of [['agent', 'Agents’ summaries without text'], ['auto', 'AI summaries without text']]) {
    const used = SERIES.filter(([, , statuses]) => list.some((sums) => without(sums, kind, statuses) > 0));
    const shares = list.map((sums) => used.map(([, style, statuses]) =>
      [sums.segments ? without(sums, kind, statuses) / sums.segments : 0, style]));
    charts.push(chart(`${name}, share by ${unit}`, list, shares, (share) => `${+(share * 100).toFixed(1)} %`, used));
  }
  byId('charts').replaceChildren(...charts);
  byId('trend-table').replaceChildren(trendTable(unit, list));
}

/** Draws stacked bars. `bars` has a list of [height, CSS class] for each bucket; `used` are the series in the key. */
function chart(title, list, bars, label, used) {
  const high = used.length ? 96 : 120;
  const most = roundUp(Math.max(used.length ? 0.01 : 2, ...bars.map((parts) => parts.reduce((sum, [height]) => sum + height, 0))));
  const width = (WIDE - LEFT) / list.length;
  const thick = Math.min(width - Math.min(width * 0.24, 4), 56);
  const drawing = svg('svg', { viewBox: `0 0 ${WIDE} ${high + 30}`, role: 'img', tabindex: '0',
    'aria-label': `${title}: ${some(list.length, 'column')} from ${list[0].name} to ${list[list.length - 1].name}, the scale ends at ${label(most)}. Use the arrow keys for each column, or see the table below.` });
  for (const part of [0, 0.5, 1]) {
    const y = 10 + high * (1 - part);
    drawing.append(svg('line', { x1: LEFT, x2: WIDE, y1: y, y2: y, class: part ? 'rule' : 'base' }),
      svg('text', { x: LEFT - 6, y: y + 4, class: 'scale-label' }, label(most * part)));
  }
  bars.forEach((parts, n) => {
    let y = 10 + high;
    for (const [height, style] of parts) {
      const tall = (height / most) * high;
      y -= tall;
      if (tall > 0) {
        drawing.append(svg('rect', { x: (LEFT + (n + 0.5) * width - thick / 2).toFixed(2), y: y.toFixed(2),
          width: thick.toFixed(2), height: tall.toFixed(2), class: style }));
      }
    }
  });
  for (const n of ticks(list.length)) {
    const anchor = width > 90 ? 'middle' : n === 0 ? 'start' : n === list.length - 1 ? 'end' : 'middle';
    const x = { start: LEFT + n * width, end: LEFT + (n + 1) * width, middle: LEFT + (n + 0.5) * width }[anchor];
    drawing.append(svg('text', { x: x.toFixed(1), y: high + 26, class: `tick ${anchor}` }, list[n].name.replace('week of ', '')));
  }
  columns(drawing, list, width, high);
  const key = el('span', { class: 'keys' }, ...used.map(([name, style]) => el('span', { class: `key ${style}` }, name)));
  return el('figure', {}, el('figcaption', {}, el('strong', {}, title), key), drawing);
}

/** The indices of the columns that have a label, at equal distances. */
function ticks(number) {
  const step = Math.ceil(number / 7);
  return Array.from({ length: Math.ceil(number / step) }, (_, n) => n * step);
}

/** Shows the card of a column for the pointer, over the whole height of the chart, and for the arrow keys. */
function columns(drawing, list, width, high) {
  const marker = svg('rect', { y: 10, width: Math.max(width, 1).toFixed(2), height: high, class: 'marker', visibility: 'hidden' });
  drawing.append(marker);
  let current = -1;
  const show = (n) => {
    current = n;
    marker.setAttribute('x', (LEFT + n * width).toFixed(2));
    marker.setAttribute('visibility', 'visible');
    showCard(marker, [el('p', { class: 'when' }, list[n].name), el('p', {}, some(list[n].segments, 'segment')), countsTable(list[n])]);
  };
  const hide = () => { marker.setAttribute('visibility', 'hidden'); hideCard(); };
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const n = Math.floor((((event.clientX - box.left) / box.width) * WIDE - LEFT) / width);
    if (n >= 0 && n < list.length) show(n);
    else hide();
  });
  drawing.addEventListener('pointerleave', hide);
  drawing.addEventListener('blur', hide);
  drawing.addEventListener('keydown', (event) => {
    const to = { ArrowLeft: current < 0 ? list.length - 1 : current - 1, ArrowRight: current + 1, Home: 0, End: list.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(Math.min(Math.max(to, 0), list.length - 1));
    byId('spoken').textContent = card.innerText;
  });
}

function trendTable(unit, list) {
  const head = el('tr', {}, el('th', { scope: 'col' }, unit[0].toUpperCase() + unit.slice(1)), el('th', { scope: 'col', class: 'n' }, 'Segments'),
    ...KINDS.flatMap(([, name]) => SERIES.map(([series]) => el('th', { scope: 'col', class: 'n' }, `${name}: ${series}`))));
  const rows = list.map((sums) => el('tr', {}, el('th', { scope: 'row' }, sums.name), el('td', { class: 'n' }, count(sums.segments)),
    ...KINDS.flatMap(([kind]) => SERIES.map(([, , statuses]) => el('td', { class: 'n' }, count(without(sums, kind, statuses)))))));
  return el('table', { class: 'list' }, el('thead', {}, head), el('tbody', {}, ...rows));
}

