// Filling the page: a text is set as text, never read as HTML, and only what differs is touched.

/// Sets what `data-is` names under `root`: to a text, or, where an object is given, its properties.
export function fill(root, values) {
  for (const [name, value] of Object.entries(values)) {
    const element = root.querySelector(`[data-is="${name}"]`);
    const properties = value !== null && typeof value === 'object' ? value : { textContent: value };
    for (const [property, wanted] of Object.entries(properties)) {
      if (String(element[property]) !== String(wanted)) element[property] = wanted;
    }
  }
}

/// One of what the template `id` is for.
export function made(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/// Makes the children of `parent` one for each of `items`, and has each filled; those that are there stay.
export function each(parent, template, items, show) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(made(template));
  items.forEach((item, at) => show(parent.children[at], item));
}

/// What a meter shows: `used` of `limit`, in colour where that is nearly all.
export function meter(used, limit, name) {
  const max = limit || 1;
  return { max, high: max * 0.9, low: max * 0.7, optimum: 0, value: Math.min(used, max), ariaLabel: name };
}
