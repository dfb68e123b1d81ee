// New rows of the list of events as they arrive, and a button beside each line
// to paste. Pages are complete without this file.
'use strict';

// The one way in which this script makes HTML: rows that this console's own
// template escaped. The page's policy (trusted-types) allows no other.
const rowsPolicy = window.trustedTypes
  ? window.trustedTypes.createPolicy('trapline', { createHTML: (html) => html })
  : { createHTML: (html) => html };

const maxRows = 200;
const pollEvery = 2000;

function rowsOf(html) {
  const t = document.createElement('template');
  t.innerHTML = rowsPolicy.createHTML(html);
  return [...t.content.querySelectorAll('tr')];
}

function follow(button) {
  const list = document.getElementById('list');
  const body = document.getElementById('rows');
  const empty = document.getElementById('empty');
  const told = document.getElementById('told');
  const word = button.querySelector('.word');
  let seq = Number(button.dataset.seq);
  let source = null;
  let timer = 0;
  let failures = 0;

  function state(name, text) {
    button.dataset.state = name;
    button.setAttribute('aria-pressed', String(name !== 'paused'));
    word.textContent = text;
  }

  function put(update) {
    seq = Math.max(seq, update.seq);
    if (!update.rows) return;
    const known = new Set([...body.rows].map((row) => row.dataset.seq));
    const fresh = rowsOf(update.html).filter((row) => !known.has(row.dataset.seq));
    if (!fresh.length) return;
    for (const row of fresh) row.classList.add('fresh');
    if (update.full) body.replaceChildren(...fresh);
    else body.prepend(...fresh);
    while (body.rows.length > maxRows) body.lastElementChild.remove();
    empty.hidden = true;
    list.hidden = false;
    told.textContent = fresh.length === 1 ? 'one new event' : fresh.length + ' new events';
  }

  function address(path) {
    const url = new URL(path, location.href);
    url.searchParams.set('since', seq);
    return url;
  }

  async function poll() {
    timer = 0;
    try {
      const answer = await fetch(address(button.dataset.rest), { headers: { Accept: 'application/json' } });
      if (answer.status === 401) { state('off', 'Signed out'); return; }
      if (!answer.ok) throw new Error(answer.status);
      put(await answer.json());
      state('on', 'Live');
    } catch {
      state('off', 'Not connected');
    }
    timer = setTimeout(poll, document.hidden ? 5 * pollEvery : pollEvery);
  }

  function start() {
    state('wait', 'Connecting');
    source = new EventSource(address(button.dataset.live));
    source.addEventListener('open', () => { failures = 0; state('on', 'Live'); });
    source.addEventListener('rows', (e) => put(JSON.parse(e.data)));
    source.addEventListener('error', () => {
      state('off', 'Not connected');
      failures++;
      // Refused (signed out, too many streams), or a proxy that lets no stream through: ask in turns.
      if (source && (source.readyState === EventSource.CLOSED || failures > 2)) {
        source.close();
        source = null;
        poll();
      }
    });
  }

  function stop() {
    if (source) source.close();
    source = null;
    clearTimeout(timer);
    timer = 0;
    state('paused', 'Paused');
  }

  button.hidden = false;
  button.addEventListener('click', () => (source || timer ? stop() : start()));
  // A page that comes back from the back-forward cache holds a dead stream.
  addEventListener('pageshow', (e) => { if (e.persisted) { stop(); start(); } });
  start();
}

function copyButtons() {
  if (!navigator.clipboard) return;
  for (const pre of document.querySelectorAll('pre.paste')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(pre.querySelector('code').textContent);
      button.textContent = 'Copied';
    });
    pre.after(button);
  }
}

const liveButton = document.getElementById('live');
if (liveButton) follow(liveButton);
copyButtons();
