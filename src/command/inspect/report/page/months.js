// ---- months: a row for each sub-account

/** The sums of each account's months, and those of each day over all accounts. */
const months = accounts.map(() => new Map());
const everyDay = new Map();

accounts.forEach((account, index) => {
  eachDay(account, (record) => {
    const month = monthOf(record.day);
    let sum = months[index].get(month);
    if (!sum) months[index].set(month, sum = { ...tally(), first: record.day, days: {}, revised: 0, warned: 0 });
    sum.days[record.state] = (sum.days[record.state] || 0) + 1;
    sum.revised += record.revisions > 1 ? 1 : 0;
    sum.warned += record.warnings.length ? 1 : 0;
    add(sum, record);
    let day = everyDay.get(record.day);
    if (!day) everyDay.set(record.day, day = tally());
    add(day, record);
  });
});

const openDays = (sum) => (sum.days.m || 0) + (sum.days.g || 0);
const worst = (sum) => WORST_FIRST.find((state) => sum.days[state]);
const daysInWords = (sum) => WORST_FIRST.filter((state) => sum.days[state])
  .map((state) => `${count(sum.days[state])} ${STATES[state].days}`).join(', ');

/** The shade of a number of segments, from 1 to 4; a usual number has shade 3, so that an unusual one stands out. */
const shade = (segments, usual) => [0.5, 0.85, 1.15].filter((share) => segments >= share * usual).length + 1;
/** The usual number of segments: the median of the days, or months, that have any. */
const usualOf = (numbers) => {
  const sorted = numbers.filter((number) => number > 0).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] || 1;
};
/** The mark of a square: that of its state, or else that of a warning. */
const markOf = (state, warned) => STATES[state].mark || (warned ? '?' : '');

/** The rows of the table: for each account its row, its cells by month, and its number of missing days and gaps. */
const monthRows = [];

function drawMonths() {
  const shown = months.flatMap((sums) => [...sums.keys()]);
  const [first, last] = shown.reduce(([low, high], month) => [Math.min(low, month), Math.max(high, month)], [Infinity, 0]);
  byId('months').append(monthsHead(first, last), el('tbody', {}, ...accounts.map((_, index) => monthsRow(index, first, last))));
  byId('months').classList.toggle('few', last - first < 26);
  grid(byId('months'), { cardOf: monthCard, move: moveMonth, open: openMonth });
  const start = monthRows[0].cells.find(Boolean);
  if (start) start.setAttribute('tabindex', '0');
  byId('months-part').hidden = false;
  byId('find').addEventListener('input', filterMonths);
  byId('only-open').addEventListener('change', filterMonths);
}

function monthsHead(first, last) {
  const years = el('tr', {}, el('td', { class: 'corner' }));
  const letters = el('tr', {}, el('th', { scope: 'col', class: 'corner' }, 'Sub-account'));
  for (let month = first; month <= last; month++) {
    const year = Math.floor(month / 12);
    if (month === first || month % 12 === 0) {
      const wide = Math.min(last, year * 12 + 11) - month + 1;
      years.append(el('th', { colspan: wide, scope: 'colgroup', class: 'year' }, wide > 2 ? String(year) : ''));
    }
    const name = MONTHS[month % 12];
    letters.append(el('th', { scope: 'col', abbr: name, class: month % 12 === 0 ? 'january' : '' },
      el('span', { 'aria-hidden': 'true' }, name[0]), el('span', { class: 'unseen' }, monthName(month))));
  }
  return el('thead', {}, years, letters);
}

function monthsRow(index, first, last) {
  const sums = months[index];
  const usual = usualOf([...sums.values()].map((sum) => sum.segments));
  const row = el('tr', {}, el('th', { scope: 'row' }, accounts[index].id));
  const cells = [];
  let open = 0;
  for (let month = first; month <= last; month++) {
    const sum = sums.get(month);
    const cell = el('td', month % 12 === 0 ? { class: 'january' } : {});
    if (sum) {
      const state = worst(sum);
      open += openDays(sum);
      cell.className += ` s-${state}${state === 'c' ? ` q${shade(sum.segments, usual)}` : ''}${sum.warned ? ' warned' : ''}`;
      cell.textContent = openDays(sum) || markOf(state, sum.warned);
      cell.setAttribute('tabindex', '-1');
      cell.setAttribute('data-cell', `${index}/${month}`);
      cell.setAttribute('aria-label', `${accounts[index].id}, ${monthName(month)}: ${daysInWords(sum)}`);
    }
    cells.push(sum ? cell : null);
    row.append(cell);
  }
  monthRows.push({ row, cells, open, first });
  return row;
}

const monthAt = (cell) => cell.dataset.cell.split('/').map(Number);

function monthCard(cell) {
  const [index, month] = monthAt(cell);
  const sum = months[index].get(month);
  const lines = [
    el('p', { class: 'when' }, monthName(month)),
    el('p', {}, 'Sub-account ', el('span', { class: 'mono' }, accounts[index].id)),
    el('p', {}, `Days: ${daysInWords(sum)}`),
    el('p', {}, some(sum.segments, 'segment')),
  ];
  if (sum.segments > 0) lines.push(countsTable(sum));
  if (sum.revised) lines.push(el('p', { class: 'muted' }, `${some(sum.revised, 'day')} with more than one revision`));
  if (sum.warned) lines.push(el('p', { class: 'warning' }, `${some(sum.warned, 'day')} with a warning`));
  return lines;
}

function moveMonth(cell, key) {
  const [index, month] = monthAt(cell);
  const { cells, first } = monthRows[index];
  const column = month - first;
  const seek = (from, step, get, end) => {
    for (let n = from + step; n >= 0 && n < end; n += step) if (get(n)) return get(n);
    return null;
  };
  const inRow = (n) => cells[n];
  const inColumn = (n) => (monthRows[n].row.hidden ? null : monthRows[n].cells[column]);
  switch (key) {
    case 'ArrowLeft': return seek(column, -1, inRow, cells.length);
    case 'ArrowRight': return seek(column, 1, inRow, cells.length);
    case 'ArrowUp': return seek(index, -1, inColumn, monthRows.length);
    case 'ArrowDown': return seek(index, 1, inColumn, monthRows.length);
    case 'Home': return seek(-1, 1, inRow, cells.length);
    case 'End': return seek(cells.length, -1, inRow, cells.length);
    default: return null;
  }
}

function openMonth(cell) {
  const [index, month] = monthAt(cell);
  goTo(index, months[index].get(month).first);
}

function filterMonths() {
  const wanted = byId('find').value.trim().toLowerCase();
  const onlyOpen = byId('only-open').checked;
  let shown = 0;
  monthRows.forEach(({ row, open }, index) => {
    row.hidden = !accounts[index].id.toLowerCase().includes(wanted) || (onlyOpen && open === 0);
    shown += row.hidden ? 0 : 1;
  });
  byId('months-shown').textContent = `${count(shown)} of ${some(accounts.length, 'sub-account')}`;
  const focusable = monthRows.filter(({ row }) => !row.hidden).flatMap(({ cells }) => cells).find(Boolean);
  if (focusable) makeTabStop(byId('months'), focusable);
}

