// Figures out of snapshots: what was counted between two of them, and how numbers are written. Nothing here knows the page.

/// How far back the page looks, in seconds.
export const MEMORY_S = 120;

/// The snapshots of the last two minutes, as far as they count something.
export class History {
  #samples = [];
  #server = null;

  /// Takes the newest. Another process, or one that began anew, counts from 0: what was before says nothing of it.
  add(status) {
    const server = `${status.pid} ${status.started_s}`;
    if (server !== this.#server || status.uptime_s < this.#samples.at(-1)?.time) {
      this.#samples = [];
    }
    this.#server = server;
    this.#samples.push({ time: status.uptime_s, counts: counters(status) });
    while (this.#samples.length > 2 && status.uptime_s - this.#samples[1].time >= MEMORY_S) {
      this.#samples.shift();
    }
  }

  /// What was added to a counter in the last `seconds`, and in how many really; null while that is not known.
  during(seconds, counter) {
    const newest = this.#samples.at(-1);
    let oldest = newest;
    for (const sample of this.#samples.slice(0, -1).reverse()) {
      const [before, after] = [sample.counts.get(counter), oldest.counts.get(counter)];
      // A model that was loaded anew counts anew.
      if (before === undefined || after === undefined || total(before) > total(after)) break;
      oldest = sample;
      if (newest.time - sample.time >= seconds) break;
    }
    if (oldest === newest) return null;
    const [now, then] = [newest, oldest].map((sample) => sample.counts.get(counter));
    const by = Array.isArray(now) ? now.map((count, at) => count - then[at]) : now - then;
    return { by, seconds: newest.time - oldest.time };
  }

  /// How often a second, in the last few; null while that is not known.
  rate(counter) {
    const added = this.during(5, counter);
    return added && added.by / added.seconds;
  }

  /// The same between each two snapshots, with how long ago that was.
  rates(counter) {
    const now = this.#samples.at(-1).time;
    return this.#samples.slice(1).map((sample, at) => {
      const before = this.#samples[at];
      const added = sample.counts.get(counter) - before.counts.get(counter);
      return { ago: now - sample.time, rate: Math.max(0, added) / (sample.time - before.time || 1) };
    });
  }
}

/// All that is counted, by names of our own.
function counters(status) {
  const counts = new Map();
  const { requests } = status;
  const answered = { 2: 0, 3: 0, 4: 0, 5: 0 };
  for (const [code, count] of Object.values(requests.answered).flatMap(Object.entries)) {
    answered[code[0]] = (answered[code[0]] ?? 0) + count;
  }
  counts.set('received', requests.received).set('aborted', requests.aborted);
  counts.set('fine', answered[2] + answered[3]).set('refused', answered[4]).set('failed', answered[5]);
  counts.set('latency', sums(Object.values(requests.latency).map((times) => times.buckets)));
  counts.set('cpu', status.cpu_s.user + status.cpu_s.system);
  for (const worker of status.workers) {
    counts.set(`${worker.worker} busy`, worker.busy_s);
  }
  for (const model of status.models) {
    const failed = Object.values(model.counts.requests_failed);
    const name = key(model);
    counts.set(`${name} requests`, model.counts.requests_success + total(failed)).set(`${name} failed`, total(failed));
    counts.set(`${name} runs`, model.counts.executions).set(`${name} rows`, model.counts.executions_rows);
    counts.set(`${name} queue`, model.time.queue.buckets).set(`${name} run`, model.time.run.buckets);
  }
  return counts;
}

/// What tells a version of a model from others.
export const key = (model) => `${model.name}/${model.version ?? ''}`;

const total = (counts) => (Array.isArray(counts) ? counts.reduce((sum, count) => sum + count, 0) : counts);

const sums = (lists) => lists.reduce((sum, list) => sum.map((count, at) => count + list[at]));

/// The time that a `share` of those in the buckets took at most, spread evenly within each; null where there are none.
export function quantile(buckets, bounds, share) {
  const wanted = total(buckets) * share;
  if (wanted === 0) return null;
  let below = 0;
  let from = 0;
  for (const [at, to] of bounds.entries()) {
    if (buckets[at] > 0 && below + buckets[at] >= wanted) {
      return from + ((to - from) * (wanted - below)) / buckets[at];
    }
    below += buckets[at];
    from = to;
  }
  return from;
}

/// A number with three digits that count.
export function number(value) {
  if (value === null || value === undefined) return '–';
  const digits = value === 0 || Number.isInteger(value) || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }).replaceAll(',', '\u202f');
}

/// Seconds as a person says them.
export function time(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = units.findIndex(([unit]) => seconds >= unit);
  const [[large, name], [small, rest]] = [units[at], units[at + 1]];
  return `${Math.floor(seconds / large)} ${name} ${Math.floor((seconds % large) / small)} ${rest}`;
}

/// Bytes in powers of 1024.
export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return `${number(at === 0 ? count : count / 1024 ** at)} ${units[at]}`;
}
