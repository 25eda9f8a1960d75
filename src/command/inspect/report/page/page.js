// ---- the first view, links and choices

const ALL = -1;
let shownAccount = ALL;

/** Shows the days of an account, or of all accounts. */
function showAccount(index) {
  shownAccount = index;
  byId('account').value = String(index);
  drawDays(index === ALL ? accounts.map((_, n) => n) : [index]);
}

/** Moves to a day's square. */
function goTo(index, day) {
  if (!shownDays.has(`${index}/${day}`)) showAccount(index);
  const found = shownDays.get(`${index}/${day}`);
  if (!found) return;
  found.cell.scrollIntoView({ block: 'center' });
  found.cell.focus({ preventScroll: true });
}

/** Follows a link of the form `#SUB_ACCOUNT/DATE`. */
function followLink() {
  const [, id, date] = /^#([\w-]+)\/(\d{4}-\d\d-\d\d)$/.exec(location.hash) || [];
  const index = accounts.findIndex((account) => account.id === id);
  if (index >= 0) goTo(index, dayOf(date));
}

function choices(select, all) {
  select.append(...(all ? [el('option', { value: ALL }, all)] : []),
    ...accounts.map((account, index) => el('option', { value: index }, account.id)));
}

function start() {
  byId('calendar-body').hidden = false;
  if (!accounts.length) {
    byId('days').append(el('p', {}, 'There is no day to show.'));
    return;
  }
  const several = accounts.length > 1;
  const few = months.flatMap((sums) => [...sums.values()]).reduce((sum, { days }) =>
    sum + Object.values(days).reduce((a, b) => a + b, 0), 0) <= MAX_DAYS_AT_ONCE;
  byId('account-choice').hidden = byId('scope-choice').hidden = !several;
  choices(byId('account'), few && 'all sub-accounts');
  choices(byId('scope'), 'all sub-accounts');
  byId('account').addEventListener('change', (event) => showAccount(Number(event.target.value)));
  byId('scope').addEventListener('change', (event) => drawTrend(Number(event.target.value)));
  grid(byId('days'), { cardOf: cardOfDay, move: moveDay });
  if (several) drawMonths();
  showAccount(few ? ALL : 0);
  drawTrend(ALL);
  addEventListener('hashchange', followLink);
  // A second click on the same link changes no address, so the browser sends no event for it.
  byId('attention').addEventListener('click', (event) => {
    if (event.target.hash && event.target.hash === location.hash) followLink();
  });
  followLink();
}

start();
