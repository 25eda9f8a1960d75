// ---- the data, as data.rs has packed them

const DAY_MS = 864e5;
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
  'November', 'December'];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** What a state is called, and its mark: colour alone tells nothing to many eyes and printers. */
const STATES = {
  c: { word: 'complete', days: 'complete', mark: '' },
  e: { word: 'empty (complete, without any segment)', days: 'empty', mark: '○' },
  g: { word: 'gaps', days: 'with gaps', mark: '!' },
  a: { word: 'gaps, acknowledged', days: 'acknowledged', mark: '~' },
  m: { word: 'missing', days: 'missing', mark: '×' },
  d: { word: 'disposed of after retention', days: 'disposed of', mark: '−' },
};
const WORST_FIRST = ['m', 'g', 'a', 'c', 'e', 'd'];

/** The statuses of a kind of summary, in the order of every array of counts. */
const STATUSES = ['present', 'empty', 'not found', 'no answer', 'not text', 'not asked', 'no id'];
const KINDS = [['agent', 'By the agent'], ['auto', 'By the AI']];

const byId = (id) => document.getElementById(id);
const accounts = JSON.parse(byId('data').textContent).accounts;

/** Days since 1970-01-01, of a date such as 2026-11-20. */
const dayOf = (text) => Date.parse(text + 'T00:00:00Z') / DAY_MS;
/** The date of such a day, as year, month from 0, day of the month. */
const dateOf = (day) => {
  const date = new Date(day * DAY_MS);
  return [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
};
/** 0 is Monday. */
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

/** For a scale, which has little room. */
const short = (number) => (number >= 1e6 ? `${+(number / 1e6).toFixed(2)} M` : number >= 1e4 ? `${+(number / 1e3).toFixed(1)} k` : count(number));
const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ',');
const some = (number, what) => `${count(number)} ${what}${number === 1 ? '' : 's'}`;
/** With one decimal, and never rounded to all or nothing. */
const percent = (part, whole) => {
  if (!whole) return '–';
  const exact = (part * 100) / whole;
  return `${(part === 0 || part === whole ? exact : Math.min(Math.max(exact, 0.1), 99.9)).toFixed(1)} %`;
};

const tally = () => ({ segments: 0, agent: new Array(7).fill(0), auto: new Array(7).fill(0) });
const add = (sum, more) => {
  sum.segments += more.segments;
  for (let n = 0; n < 7; n++) {
    sum.agent[n] += more.agent[n];
    sum.auto[n] += more.auto[n];
  }
};

/** Reads the numbers that data.rs writes. */
function reader(text) {
  let at = 0;
  const digit = () => {
    const code = text.charCodeAt(at++);
    return code - 35 - (code > 92 ? 1 : 0) - (code > 60 ? 1 : 0);
  };
  const digits = (number) => {
    let value = 0;
    for (; number > 0; number--) value = value * 90 + digit();
    return value;
  };
  return () => {
    const first = digit();
    if (first < 50) return first;
    if (first < 80) return 50 + (first - 50) * 90 + digit();
    if (first < 89) return 2750 + (first - 80) * 8100 + digits(2);
    return digits(8);
  };
}

/** Visits each day of an account in order. The record is the same object every time: who keeps it copies it. */
function eachDay(account, visit) {
  const next = reader(account.counts);
  const warnings = new Map(Object.entries(account.warnings).map(([date, names]) => [dayOf(date), names]));
  const record = { day: dayOf(account.first), state: '', revisions: 0, outside: 0, vanished: 0, warnings: [], ...tally() };
  for (const [, state, times] of account.states.matchAll(/([a-z.])(\d*)/g)) {
    for (let left = Number(times || 1); left > 0; left--, record.day++) {
      if (state === '.') continue;
      record.state = state;
      readCounts(record, state === 'm' ? null : next);
      record.warnings = warnings.get(record.day) || NO_WARNINGS;
      visit(record);
    }
  }
}
const NO_WARNINGS = [];

function readCounts(record, next) {
  const { agent, auto } = record;
  agent.fill(0);
  auto.fill(0);
  record.segments = record.revisions = record.outside = record.vanished = 0;
  if (!next) return;
  const head = next();
  record.segments = Math.floor(head / 2);
  record.revisions = 1;
  if (record.segments > 0) {
    for (const kind of [agent, auto]) {
      kind[1] = next();
      kind[2] = next();
    }
  }
  const extras = head % 2 ? next() : 0;
  if (extras & 1) record.revisions = next();
  for (const [flag, kind] of [[2, agent], [4, auto]]) {
    if (extras & flag) for (const status of [3, 4, 5, 6]) kind[status] = next();
    kind[0] = record.segments - kind[1] - kind[2] - kind[3] - kind[4] - kind[5] - kind[6];
  }
  if (extras & 8) {
    record.outside = next();
    record.vanished = next();
  }
}

const copyOf = (record) => ({ ...record, agent: [...record.agent], auto: [...record.auto] });

