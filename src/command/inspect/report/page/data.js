// ---- the data: days.rs describes its JSON

const DAY_MS = 864e5;
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
  'November', 'December'];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** The name of each state, and its mark: colour alone is not enough for many readers and printers. */
const STATES = {
  c: { word: 'complete', days: 'complete', mark: '' },
  e: { word: 'empty (complete, without any segment)', days: 'empty', mark: '○' },
  g: { word: 'gaps', days: 'with gaps', mark: '!' },
  a: { word: 'gaps, acknowledged', days: 'acknowledged', mark: '~' },
  m: { word: 'missing', days: 'missing', mark: '×' },
  d: { word: 'disposed of after retention', days: 'disposed of', mark: '−' },
};
/** The state of a date that the time zone skipped. */
const SKIPPED = '.';
const WORST_FIRST = ['m', 'g', 'a', 'c', 'e', 'd'];

/** The statuses of a summary, in the order of every array of counts, and the columns of all but the first. */
const STATUSES = ['present', 'empty', 'not found', 'no answer', 'not text', 'not requested', 'no id'];
const COLUMNS = ['empty', 'not_found', 'failed', 'binary', 'skipped', 'no_id'];
const KINDS = [['agent', 'By the agent'], ['auto', 'By the AI']];

const byId = (id) => document.getElementById(id);

/** The days of each sub-account: JSON, compressed with gzip and written in base64. */
async function readAccounts() {
  const compressed = Uint8Array.from(atob(byId('data').textContent), (character) => character.charCodeAt(0));
  const json = new Blob([compressed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(json).json();
}

// An error means an old browser, or data that was cut off or damaged: gzip has a checksum.
const accounts = await readAccounts().catch(() => null);
if (!accounts) {
  byId(typeof DecompressionStream === 'undefined' ? 'too-old' : 'damaged').hidden = false;
  return;
}

/** Days since 1970-01-01, of a date such as 2026-11-20. */
const dayOf = (text) => Date.parse(text + 'T00:00:00Z') / DAY_MS;
/** The date of such a day: its year, its month from 0, its day of the month. */
const dateOf = (day) => {
  const date = new Date(day * DAY_MS);
  return [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
};
/** The day of the week; 0 is Monday. */
const weekdayOf = (day) => (((day + 3) % 7) + 7) % 7;
const monthOf = (day) => { const [year, month] = dateOf(day); return year * 12 + month; };
const monthName = (month) => `${MONTHS[month % 12]} ${Math.floor(month / 12)}`;
const shortDate = (day) => {
  const [year, month, date] = dateOf(day);
  return `${date} ${MONTHS[month].slice(0, 3)} ${year}`;
};
const longDate = (day) => {
  const [year, month, date] = dateOf(day);
  return `${WEEKDAYS[weekdayOf(day)]}, ${date} ${MONTHS[month]} ${year}`;
};

/** A number in short, for the labels of a scale. */
const short = (number) => (number >= 1e6 ? `${+(number / 1e6).toFixed(2)} M` : number >= 1e4 ? `${+(number / 1e3).toFixed(1)} k` : count(number));
const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ',');
const some = (number, what) => `${count(number)} ${what}${number === 1 ? '' : 's'}`;
const tally = () => ({ segments: 0, agent: new Array(7).fill(0), auto: new Array(7).fill(0) });
const add = (sum, more) => {
  sum.segments += more.segments;
  for (let n = 0; n < 7; n++) {
    sum.agent[n] += more.agent[n];
    sum.auto[n] += more.auto[n];
  }
};

/** The value of a column on the nth date; a column that is not there holds zeros only. */
const valueAt = (column, n) => (column && column[n]) || 0;

/** Visits each day of an account in order. The record is the same object for every day: copy it to keep it. */
function eachDay(account, visit) {
  const warnings = new Map(Object.entries(account.warnings).map(([date, names]) => [dayOf(date), names]));
  const record = { day: dayOf(account.first), state: '', revisions: 0, outside: 0, vanished: 0, warnings: [], ...tally() };
  [...account.states].forEach((state, n) => {
    if (state !== SKIPPED) {
      record.state = state;
      record.segments = valueAt(account.segments, n);
      record.revisions = valueAt(account.revisions, n);
      record.outside = valueAt(account.out_of_day, n);
      record.vanished = valueAt(account.vanished, n);
      for (const [kind] of KINDS) readStatuses(record[kind], account[kind], n, record.segments);
      record.warnings = warnings.get(record.day) || NO_WARNINGS;
      visit(record);
    }
    record.day++;
  });
}
const NO_WARNINGS = [];

/** Fills one kind's counts by status. What has no other status is present. */
function readStatuses(counts, columns, n, segments) {
  counts[0] = segments;
  COLUMNS.forEach((name, status) => {
    counts[status + 1] = valueAt(columns[name], n);
    counts[0] -= counts[status + 1];
  });
}

const copyOf = (record) => ({ ...record, agent: [...record.agent], auto: [...record.auto] });

