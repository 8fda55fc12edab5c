// Tries a model: POST /predict/{model} with a picture or JSON, and its answer as bars or as JSON.

import { each, fill, made, meter } from './fill.js';

/// Numbers that an example has at most, and characters of an answer that are shown.
const LONGEST_EXAMPLE = 1024;
const LONGEST_ANSWER = 20_000;
/// Characters of JSON that are one line.
const SHORT = 72;

const part = (id) => document.getElementById(id);
const form = part('try');
const choice = part('model');
const drop = part('picture');
/// What was written for a model, while others were looked at.
const written = new Map();
let chosen = null;
let underWay = null;

/// Offers those of the models that are loaded, and leaves what was chosen.
export function offer(models) {
  const loaded = models.filter((model) => ['ready', 'closed'].includes(model.state));
  const versions = Map.groupBy(loaded, (model) => model.name);
  const options = [...versions].flatMap(([name, of]) =>
    of.length === 1 ? [[name, null]] : of.map(({ version }) => [name, version]));
  const wanted = JSON.stringify(options);
  if (wanted === choice.dataset.options) return;
  const before = choice.value;
  choice.dataset.options = wanted;
  choice.replaceChildren(...options.map(([name, version]) =>
    new Option(version === null ? name : `${name}, version ${version}`, JSON.stringify([name, version]))));
  if ([...choice.options].some((option) => option.value === before)) choice.value = before;
  if (choice.value !== chosen) choose();
}

/// Shows how the chosen model is asked.
async function choose() {
  if (chosen !== null) written.set(chosen, part('text').value);
  const mine = choice.value;
  chosen = mine;
  if (!mine) return;
  const [name, version] = JSON.parse(mine);
  part('text').value = written.get(mine) ?? '';
  part('text').placeholder = '';
  const path = `v2/models/${encodeURIComponent(name)}${version === null ? '' : `/versions/${encodeURIComponent(version)}`}`;
  try {
    const reply = await fetch(path);
    const metadata = await reply.json();
    if (mine !== chosen) return;
    if (!reply.ok) throw new Error(metadata.error);
    suggest(metadata.inputs);
  } catch (error) {
    if (mine === chosen) part('text').placeholder = `What it takes is not known: ${error.message}`;
  }
}

/// An example of the right shape, or what that is where it would be long. What looks like a picture is asked with one.
function suggest(inputs) {
  const shape = (input) => input.shape.map((size) => Math.max(size, 1));
  const size = inputs.reduce((sum, input) => sum + shape(input).reduce((all, of) => all * of, 1), 0);
  const described = inputs.map(({ name, datatype, shape }) => `${name}: ${datatype} [${shape.join(', ')}]`).join('\n');
  part('text').placeholder = `{"inputs": {NAME: nested numbers}}\n${described}`;
  if (part('text').value === '' && size <= LONGEST_EXAMPLE) {
    const of = (input) => nested(shape(input), { BOOL: false, BYTES: '' }[input.datatype] ?? 0);
    part('text').value = pretty({ inputs: Object.fromEntries(inputs.map((input) => [input.name, of(input)])) });
  }
  const isPicture = inputs.length === 1 && inputs[0].shape.length >= 3 && inputs[0].datatype !== 'BYTES';
  form.elements.form.value = isPicture ? 'picture' : 'json';
  showForm();
}

const nested = ([size, ...rest], element) =>
  size === undefined ? element : Array.from({ length: size }, () => nested(rest, element));

function showForm() {
  const isPicture = form.elements.form.value === 'picture';
  drop.hidden = !isPicture;
  part('json').hidden = isPicture;
}

function showPreview() {
  const image = part('preview');
  const [file] = part('file').files;
  URL.revokeObjectURL(image.src);
  image.hidden = !file?.type.startsWith('image/');
  image.src = image.hidden ? 'data:,' : URL.createObjectURL(file);
}

/// What is sent: the server tells by its bytes what a file is that the browser has no name for.
function body() {
  if (form.elements.form.value === 'json') return new Blob([part('text').value], { type: 'application/json' });
  const [file] = part('file').files;
  return file && (file.type.startsWith('image/') ? file : new Blob([file]));
}

async function ask() {
  const sent = body();
  if (!sent) return say('Choose a picture first.', 'bad');
  const [name, version] = JSON.parse(choice.value);
  const target = `predict/${encodeURIComponent(name)}${version === null ? '' : `?version=${encodeURIComponent(version)}`}`;
  underWay = new AbortController();
  part('ask').textContent = 'Cancel';
  say(`Waiting for ${name}.`, 'quiet');
  const begun = performance.now();
  try {
    const reply = await fetch(target, { method: 'POST', body: sent, signal: underWay.signal });
    const text = await reply.text();
    const took = performance.now() - begun;
    const facts = `${reply.status} ${reply.statusText}, ${took.toFixed(1)} ms, request ${reply.headers.get('x-request-id')}`;
    if (reply.ok) {
      say(facts, 'ok');
      showResults(JSON.parse(text).results);
    } else {
      say(`${facts}: ${errorOf(text)}`, 'bad');
    }
  } catch (error) {
    say(error.name === 'AbortError' ? 'Cancelled.' : `No answer: ${error.message}`, 'bad');
  }
  underWay = null;
  part('ask').textContent = 'Predict';
}

function errorOf(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.slice(0, 1000);
  }
}

/// Says what came of it; the results of before are gone.
function say(text, colour) {
  part('outcome').textContent = text;
  part('outcome').className = colour;
  part('results').replaceChildren();
}

function showResults(results) {
  part('results').replaceChildren(...results.map(({ classes, outputs }) => {
    if (!classes) {
      const shown = made('outputs');
      const text = pretty(outputs);
      shown.textContent = text.length > LONGEST_ANSWER ? `${text.slice(0, LONGEST_ANSWER)} ... (${text.length} characters)` : text;
      return shown;
    }
    const list = made('classes');
    const max = Math.max(1, ...classes.map((of) => of.score));
    each(list, 'class', classes, (item, { label, score }) => {
      fill(item, {
        label: { textContent: label, title: label },
        score: score === null ? 'null' : score.toFixed(4),
        meter: meter(Math.max(0, score ?? 0), max, label),
      });
    });
    return list;
  }));
}

/// JSON on a line where it is short, else a line for each member.
function pretty(value, indent = '') {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? '[]' : '{}';
  const deeper = `${indent}  `;
  const members = Object.entries(value).map(([name, member]) =>
    (isList ? '' : `${JSON.stringify(name)}: `) + pretty(member, deeper));
  const isFlat = isList && value.every((member) => member === null || typeof member !== 'object');
  const line = members.join(', ');
  if (isFlat || (line.length <= SHORT && !line.includes('\n'))) return open + line + close;
  return `${open}\n${members.map((member) => deeper + member).join(',\n')}\n${indent}${close}`;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  underWay ? underWay.abort() : ask();
});
form.addEventListener('change', ({ target }) => {
  if (target === choice) choose();
  if (target.name === 'form') showForm();
  if (target === part('file')) showPreview();
});
// A file that misses the form must not replace the page.
for (const kind of ['dragover', 'drop']) {
  window.addEventListener(kind, (event) => event.preventDefault());
}
drop.addEventListener('dragover', () => drop.classList.add('over'));
drop.addEventListener('dragleave', () => drop.classList.remove('over'));
drop.addEventListener('drop', ({ dataTransfer }) => {
  drop.classList.remove('over');
  if (dataTransfer.files.length === 0) return;
  part('file').files = dataTransfer.files;
  showPreview();
});
