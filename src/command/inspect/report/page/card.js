// ---- elements, and the card with the details of what the pointer or the keyboard has reached

/** Makes an element with attributes and children. A child that is a string becomes text, never markup. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const card = byId('card');

/** Shows the card above an element, or below it where there is no room above; `content` are the card's children. */
function showCard(anchor, content) {
  card.replaceChildren(...content);
  card.hidden = false;
  const target = anchor.getBoundingClientRect();
  const box = card.getBoundingClientRect();
  const width = document.documentElement.clientWidth;
  const left = Math.min(Math.max(target.left + target.width / 2 - box.width / 2, 8), Math.max(width - box.width - 8, 8));
  const above = target.top - box.height - 10;
  const top = above >= 8 ? above : target.bottom + 10;
  card.style.left = `${left + window.scrollX}px`;
  card.style.top = `${top + window.scrollY}px`;
}

const hideCard = () => { card.hidden = true; };

/** The lines of a day's card. */
function dayCard(account, record) {
  const lines = [
    el('p', { class: 'when' }, longDate(record.day)),
    el('p', {}, stateMark(record), `${STATES[record.state].word} · sub-account `, el('span', { class: 'mono' }, account.id)),
  ];
  if (record.state === 'm') return [...lines, el('p', { class: 'muted' }, 'Never archived: there is no record of this day.')];
  lines.push(el('p', {}, `${some(record.segments, 'segment')}, ${some(record.revisions, 'revision')}`));
  if (record.segments > 0) lines.push(countsTable(record));
  if (record.outside > 0) lines.push(el('p', { class: 'muted' }, `${some(record.outside, 'segment')} with an end outside the day`));
  if (record.vanished > 0) lines.push(el('p', { class: 'muted' }, `${some(record.vanished, 'segment')} that RingCX no longer lists`));
  for (const warning of record.warnings) lines.push(el('p', { class: 'warning' }, `Warning: ${warning}`));
  return lines;
}

const stateMark = (record) => {
  const { mark } = STATES[record.state];
  return el('span', { class: `mark s-${record.state}${record.state === 'c' ? ' q3' : ''}`, 'aria-hidden': 'true' }, mark);
};

/** A table of both kinds of summaries by status. The rare statuses are left out where they do not occur. */
function countsTable(sums) {
  const shown = STATUSES.map((_, n) => n).filter((n) => n < 4 || sums.agent[n] + sums.auto[n] > 0);
  const head = el('tr', {}, el('td', {}), ...shown.map((n) => el('th', { scope: 'col' }, STATUSES[n])));
  const rows = KINDS.map(([kind, name]) =>
    el('tr', {}, el('th', { scope: 'row' }, name), ...shown.map((n) => el('td', {}, count(sums[kind][n])))));
  return el('table', { class: 'counts' }, el('thead', {}, head), el('tbody', {}, ...rows));
}

document.addEventListener('keydown', (event) => { if (event.key === 'Escape') hideCard(); });

