// Shows how the server stands: asks /status each second, rarely where nobody looks, and says so where no answer comes.

import { History, MEMORY_S, bytes, key, number, quantile, time } from './figures.js';
import { each, fill, meter, room } from './fill.js';
import { offer } from './try.js';

const EVERY_MS = 1000;
const UNSEEN_MS = 15_000;
const PATIENCE_MS = 5000;
/// Alarms of what may pass by itself; all others are worse.
const WARNINGS = ['slow', 'accept_queue'];
const COLOURS = {
  ready: 'ok', preparing: 'busy', running: 'busy', slow: 'warn', stuck: 'bad', loading: 'warn', unloading: 'warn',
  closed: 'bad', unavailable: 'bad',
};

const history = new History();
const part = (id) => document.getElementById(id);
let version = null;
let silentSince = null;
let timer = null;
let isAsking = false;

async function poll() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  const begun = performance.now();
  try {
    const status = await ask().catch((error) => silent(error.message));
    if (status) take(status);
  } finally {
    const wait = document.hidden ? UNSEEN_MS : Math.max(EVERY_MS / 4, EVERY_MS - (performance.now() - begun));
    timer = setTimeout(poll, wait);
    isAsking = false;
  }
}

/// The server's status; as an error, why there is none.
async function ask() {
  const read = async () => {
    const reply = await fetch('status', { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
    return [reply, await reply.text()];
  };
  const [reply, text] = await read().catch(({ name }) => {
    throw new Error(name === 'TimeoutError' ? `nothing comes for ${PATIENCE_MS / 1000} s` : 'there is no connection');
  });
  if (!reply.ok) throw new Error(`it answers ${reply.status}, ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

function take(status) {
  // A page belongs to the program that it came with.
  if (version !== null && status.version !== version) location.reload();
  version = status.version;
  history.add(status);
  show(status);
  answered();
}

function answered() {
  silentSince = null;
  part('silence').hidden = true;
  document.body.classList.remove('stale');
}

/// What was shown stays, but is marked as old.
function silent(why) {
  silentSince ??= new Date();
  const text = `The server gives no status since ${silentSince.toLocaleTimeString('en-GB')}: ${why}. `
    + 'What is shown here is from then; this page goes on asking.';
  part('silence').hidden = false;
  part('silence').textContent = text;
  part('well').hidden = true;
  document.body.classList.add('stale');
  announce('The server gives no status.');
  document.title = 'no answer – predictd';
}

function show(status) {
  showHead(status);
  showAlarms(status.alarms);
  showRequests(status);
  showRoom(status);
  showWorkers(status.workers);
  showModels(status);
  offer(status.models);
}

function showHead({ version, phase, ready, loading, uptime_s, pid }) {
  const doing = loading && `${loading.operation}${loading.model ? ` (${loading.model})` : ''} for ${time(loading.for_s)}`;
  const readiness = ready ? '' : 'not ready for requests';
  fill(document, {
    version,
    phase: { textContent: phase, className: `state ${ready ? (phase === 'ready' ? 'ok' : 'warn') : 'bad'}` },
    readiness: [readiness, doing].filter(Boolean).join('; '),
    process: `up ${time(uptime_s)}, process ${pid}`,
  });
}

function showAlarms(alarms) {
  each(part('alarms'), 'alarm', alarms, (item, { kind, text, for_s }) => {
    item.className = `alarm ${WARNINGS.includes(kind) ? 'warn' : 'bad'}`;
    fill(item, { kind: kind.replaceAll('_', ' '), text, time: `for ${time(for_s)}` });
  });
  part('well').hidden = alarms.length > 0;
  part('well').textContent = 'Nothing is wrong.';
  const kinds = alarms.map((alarm) => alarm.kind.replaceAll('_', ' '));
  announce(kinds.length ? `Alarms: ${kinds.join(', ')}` : 'Nothing is wrong.');
  document.title = kinds.length ? `(${kinds.length}) ${kinds[0]} – predictd` : 'predictd';
}

/// To who listens, only what is new: not how long it has been so.
function announce(text) {
  if (part('announcement').textContent !== text) part('announcement').textContent = text;
}

function showRequests({ requests, memory, bucket_bounds_s }) {
  const recent = (counter) => history.during(MEMORY_S, counter)?.by ?? null;
  const latency = recent('latency');
  const quantiles = [0.5, 0.99].map((share) => latency && quantile(latency, bucket_bounds_s, share));
  const [p50, p99] = quantiles.map((seconds) => (seconds === null ? '–' : `${number(seconds * 1000)} ms`));
  const failed = recent('failed');
  const cpu = history.rate('cpu');
  const rate = history.rate('received');
  const rates = history.rates('received');
  const peak = Math.max(0, ...rates.map((at) => at.rate));
  fill(document, {
    rate: number(rate),
    peak: `at most ${number(peak)}`,
    fine: number(recent('fine')),
    refused: number(recent('refused')),
    failed: { textContent: number(failed), className: failed ? 'bad' : '' },
    aborted: number(recent('aborted')),
    under_way: number(requests.under_way),
    p50,
    p99,
    cpu: cpu === null ? '–' : `${number(Math.round(cpu * 100))} %`,
    rss: bytes(memory.rss_bytes),
  });
  draw(rates, peak);
  part('history').ariaLabel = `requests per second in the last 2 minutes: now ${number(rate)}, at most ${number(peak)}`;
}

/// The line of the last two minutes: 120 wide, 32 high, the newest at the right.
function draw(rates, peak) {
  const points = rates.map(({ ago, rate }) => `${(MEMORY_S - ago).toFixed(1)} ${(31 - (29 * rate) / (peak || 1)).toFixed(1)}`);
  const line = points.length ? `M${points.join('L')}` : '';
  const first = points[0]?.split(' ')[0];
  const [area, stroke] = part('history').children;
  stroke.setAttribute('d', line);
  area.setAttribute('d', line && `${line}L${MEMORY_S} 32L${first} 32Z`);
}

function showRoom({ connections, memory, files, sockets }) {
  const rooms = [
    ['connections', connections.open, connections.limit],
    ['requests in memory', memory.in_flight_bytes, memory.in_flight_limit_bytes, bytes],
    ...(files.limit === null ? [] : [['open files', files.open, files.limit]]),
    ...sockets
      .filter(({ waiting, backlog, admin }) => waiting !== null && backlog && !admin)
      .map(({ address, waiting, backlog }) => [`waiting at ${address}`, waiting, backlog]),
  ];
  each(part('room'), 'space', rooms, (item, [name, used, limit, unit = number]) => {
    fill(item, { name: { textContent: name, title: name }, used: `${unit(used)} of ${unit(limit)}`, meter: room(used, limit, name) });
  });
}

function showWorkers(workers) {
  const busy = workers.filter((worker) => worker.state !== 'idle').length;
  fill(document, { workers: `${busy} of ${workers.length} at work` });
  each(part('workers'), 'worker', workers, (tile, { worker, cpu, spare, state, model, version, rows, for_s, requests, busy_s }) => {
    const at = history.during(5, `${worker} busy`);
    // What it is at now is counted when it is over.
    const share = at && Math.min(1, (at.by + Math.min(for_s, at.seconds)) / at.seconds);
    fill(tile, {
      name: `${worker}`,
      core: spare ? 'spare' : cpu === null ? 'not pinned' : `core ${cpu}`,
      state: { textContent: state, className: `state ${COLOURS[state] ?? ''}` },
      model: { textContent: model === null ? '\u00a0' : `${model}/${version}`, title: model ?? '' },
      work: {
        textContent: state === 'idle' ? '\u00a0' : `${rows} ${rows === 1 ? 'row' : 'rows'}, for ${time(for_s)}`,
        title: requests.join('\n'),
      },
      meter: meter(share ?? 0, 1, `busy in the last seconds, worker ${worker}`),
      busy: { textContent: share === null ? '–' : `${Math.round(share * 100)} %`, title: `${time(busy_s)} in all` },
    });
  });
}

function showModels({ models, bucket_bounds_s }) {
  const ready = models.filter((model) => model.state === 'ready').length;
  fill(document, { models: models.length === 0 ? 'there are none' : `${ready} of ${models.length} ready` });
  const times = (name, all) => {
    const recent = history.during(MEMORY_S, name)?.by;
    const of = recent && quantile(recent, bucket_bounds_s, 0.5) !== null ? recent : all.buckets;
    const [p50, p99] = [0.5, 0.99].map((share) => quantile(of, bucket_bounds_s, share));
    if (p50 === null) return { textContent: '–', className: 'number quiet' };
    return { textContent: `${number(p50 * 1000)} / ${number(p99 * 1000)}`, className: of === recent ? 'number' : 'number quiet' };
  };
  each(part('models'), 'row', models, (row, model) => {
    const name = key(model);
    const { counts } = model;
    const [runs, rows] = ['runs', 'rows'].map((what) => history.during(MEMORY_S, `${name} ${what}`)?.by);
    const perRun = runs ? [rows / runs, ''] : counts.executions ? [counts.executions_rows / counts.executions, ' quiet'] : [null, ' quiet'];
    const failures = Object.entries(counts.requests_failed).filter(([, count]) => count > 0);
    failures.sort(([, one], [, other]) => other - one);
    fill(row, {
      name: model.name,
      version: model.version === null ? '' : `version ${model.version}`,
      state: { textContent: model.state, className: `state ${COLOURS[model.state] ?? ''}`, title: `for ${time(model.for_s)}` },
      reason: model.reason ?? '',
      meter: room(model.queue_rows, model.queue_limit, `queue of ${name}`),
      queue: `${number(model.queue_rows)} of ${number(model.queue_limit)}`,
      rate: number(history.rate(`${name} requests`)),
      rows: { textContent: number(perRun[0]), className: `number${perRun[1]}` },
      waiting: times(`${name} queue`, model.time.queue),
      run: times(`${name} run`, model.time.run),
      failures: {
        textContent: failures.map(([reason, count]) => `${number(count)} ${reason}`).join(', ') || '–',
        className: failures.length === 0 ? 'quiet' : history.during(MEMORY_S, `${name} failed`)?.by ? 'bad' : '',
      },
    });
  });
}

document.addEventListener('visibilitychange', () => document.hidden || poll());
poll();
