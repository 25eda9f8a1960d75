// ---- cells that the pointer and the keyboard can reach

/**
 * Makes the cells below `root` a single stop of the Tab key, with arrow keys between cells and a card for each cell, as
 * the WAI-ARIA grid pattern describes.
 *
 * `cardOf(cell)` returns the children of a cell's card, `move(cell, key)` the cell that a key leads to (or null), and
 * `open(cell)`, if given, is called by Enter, the space bar and a click.
 */
function grid(root, { cardOf, move, open }) {
  const cellOf = (event) => (event.target instanceof Element ? event.target.closest('[data-cell]') : null);
  const show = (cell) => showCard(cell, cardOf(cell));
  root.addEventListener('pointerover', (event) => { const cell = cellOf(event); if (cell) show(cell); });
  root.addEventListener('pointerout', () => {
    const focused = document.activeElement;
    if (root.contains(focused) && focused.matches('[data-cell]')) show(focused);
    else hideCard();
  });
  root.addEventListener('focusin', (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    makeTabStop(root, cell);
    cell.setAttribute('aria-describedby', 'card');
    show(cell);
  });
  root.addEventListener('focusout', (event) => {
    const cell = cellOf(event);
    if (cell) cell.removeAttribute('aria-describedby');
    hideCard();
  });
  root.addEventListener('click', (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    cell.focus();
    if (open) open(cell);
  });
  root.addEventListener('keydown', (event) => {
    const cell = cellOf(event);
    if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
    const opens = open && (event.key === 'Enter' || event.key === ' ');
    const next = opens ? null : move(cell, event.key);
    if (opens) open(cell);
    else if (next) next.focus();
    if (opens || next || event.key.startsWith('Arrow')) event.preventDefault();
  });
}

/** Makes a cell the one that the Tab key reaches. */
function makeTabStop(root, cell) {
  const before = root.querySelector('[data-cell][tabindex="0"]');
  if (before) before.setAttribute('tabindex', '-1');
  cell.setAttribute('tabindex', '0');
}

