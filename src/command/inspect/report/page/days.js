// ---- days: a calendar for each year

/** Up to this number of weeks a square is large enough for the date. */
const ROOMY_WEEKS = 18;
/** Up to this number of days all sub-accounts are shown at once. */
const MAX_DAYS_AT_ONCE = 3000;

/** The records and cells of the squares, by `account/day`. */
const shownDays = new Map();
/** The first and the last day of each shown account. */
const shownRanges = new Map();

function drawDays(indices) {
  shownDays.clear();
  shownRanges.clear();
  byId('days').replaceChildren(...indices.flatMap(drawAccount));
  const cells = [...byId('days').querySelectorAll('[data-cell]')];
  if (cells.length) cells[0].setAttribute('tabindex', '0');
}

function drawAccount(index) {
  const account = accounts[index];
  const years = new Map();
  eachDay(account, (record) => {
    const [year] = dateOf(record.day);
    if (!years.has(year)) years.set(year, []);
    years.get(year).push(copyOf(record));
  });
  const records = [...years.values()].flat();
  const usual = usualOf(records.map((record) => record.segments));
  const [first, last] = [records[0].day, records[records.length - 1].day];
  shownRanges.set(index, { first, last });
  const weeks = (last - first) / 7;
  const newestFirst = [...years].reverse();
  return newestFirst.map(([year, days]) => drawYear(index, year, days, usual, weeks <= ROOMY_WEEKS));
}

function drawYear(index, year, days, usual, roomy) {
  const { id } = accounts[index];
  const firstMonday = days[0].day - weekdayOf(days[0].day);
  const weeks = Math.floor((days[days.length - 1].day - firstMonday) / 7) + 1;
  const sums = { ...tally(), days: {} };
  days.forEach((record) => {
    sums.days[record.state] = (sums.days[record.state] || 0) + 1;
    add(sums, record);
  });
  const rows = WEEKDAYS.map((name) => {
    const label = el('th', { scope: 'row' }, el('span', { 'aria-hidden': 'true' }, name.slice(0, 3)), el('span', { class: 'unseen' }, name));
    return el('tr', {}, label, ...Array.from({ length: weeks }, () => el('td')));
  });
  for (const record of days) {
    const cell = rows[weekdayOf(record.day)].children[Math.floor((record.day - firstMonday) / 7) + 1];
    drawDay(cell, index, record, usual, roomy);
  }
  const caption = `${year}, sub-account ${id}`;
  const table = el('table', { class: `days${roomy ? ' roomy' : ''}`, role: 'grid', 'aria-label': `Days of ${caption}`, 'aria-readonly': 'true' },
    el('thead', {}, weeksHead(firstMonday, weeks, days)), el('tbody', {}, ...rows));
  const title = el('h4', {}, String(year), el('small', {}, accounts.length > 1 ? el('span', { class: 'mono' }, id) : '',
    ` ${daysInWords(sums)} · ${some(sums.segments, 'segment')}`));
  return el('section', { class: 'year', 'aria-label': caption }, title, el('div', { class: 'scroll' }, table));
}

function drawDay(cell, index, record, usual, roomy) {
  const { state, day } = record;
  const classes = [`s-${state}`];
  if (state === 'c') classes.push(`q${shade(record.segments, usual)}`);
  if (record.revisions > 1) classes.push('revised');
  if (record.warnings.length) classes.push('warned');
  cell.className = classes.join(' ');
  cell.setAttribute('tabindex', '-1');
  cell.setAttribute('data-cell', `${index}/${day}`);
  cell.setAttribute('aria-label', dayInWords(record));
  const mark = markOf(state, record.warnings.length);
  if (roomy) cell.append(el('span', { class: 'date' }, String(dateOf(day)[2])), mark && el('span', {}, mark));
  else cell.textContent = mark;
  shownDays.set(`${index}/${day}`, { cell, record });
}

function dayInWords(record) {
  const words = [`${longDate(record.day)}: ${STATES[record.state].word}`];
  if (record.state !== 'm') words.push(some(record.segments, 'segment'));
  if (record.revisions > 1) words.push(some(record.revisions, 'revision'));
  if (record.warnings.length) words.push('with a warning');
  return words.join(', ');
}

/** The head row: each month's name above the weeks that begin in it. */
function weeksHead(firstMonday, weeks, days) {
  const row = el('tr', {}, el('td'));
  const [first, last] = [days[0].day, days[days.length - 1].day];
  for (let week = 0; week < weeks;) {
    const monthIn = (n) => monthOf(Math.min(Math.max(firstMonday + n * 7 + 6, first), last));
    const month = monthIn(week);
    let wide = 1;
    while (week + wide < weeks && monthIn(week + wide) === month) wide++;
    row.append(el('th', { colspan: wide, scope: 'colgroup', abbr: monthName(month) }, wide > 1 ? MONTHS[month % 12].slice(0, 3) : ''));
    week += wide;
  }
  return row;
}

const dayAt = (cell) => cell.dataset.cell.split('/').map(Number);

function cardOfDay(cell) {
  const [index] = dayAt(cell);
  return dayCard(accounts[index], shownDays.get(cell.dataset.cell).record);
}

/** The cell that a key leads to; null if the key does not move. */
function moveDay(cell, key) {
  const [index, day] = dayAt(cell);
  const steps = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7, PageUp: -28, PageDown: 28, Home: -Infinity, End: Infinity };
  const step = steps[key];
  if (!step) return null;
  const { first, last } = shownRanges.get(index);
  const found = (target) => shownDays.get(`${index}/${target}`);
  const wanted = Math.min(Math.max(day + step, first), last);
  const onward = Math.sign(step);
  // The time zone may have skipped the date; then the next one in this direction is meant.
  for (let target = wanted; target >= first && target <= last; target += onward) {
    if (found(target)) return found(target).cell;
  }
  return null;
}

