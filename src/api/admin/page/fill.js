// Filling the page: a text is set as text, never read as HTML, and only what differs is touched.

/// Sets what `data-is` names under `root`: to a text, or, where an object is given, its properties; how much
/// of a meter is filled is a `share`.
export function fill(root, values) {
  for (const [name, value] of Object.entries(values)) {
    const element = root.querySelector(`[data-is="${name}"]`);
    const properties = value !== null && typeof value === 'object' ? value : { textContent: value };
    for (const [property, wanted] of Object.entries(properties)) {
      if (property === 'share') {
        element.style.backgroundSize = `${wanted * 100}% 100%`;
      } else if (String(element[property]) !== String(wanted)) {
        element[property] = wanted;
      }
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

/// What a meter shows: `used` of `limit`.
export function meter(used, limit, name) {
  const share = Math.min(1, used / (limit || 1));
  return { share, className: 'meter', ariaLabel: name, ariaValueMin: 0, ariaValueMax: limit, ariaValueNow: used };
}

/// The same, in colour where that is nearly all.
export function room(used, limit, name) {
  const shown = meter(used, limit, name);
  return { ...shown, className: `meter${shown.share > 0.9 ? ' bad' : shown.share > 0.7 ? ' warn' : ''}` };
}
