/** Small help with the DOM. Text goes in as text nodes, nothing as markup. */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Make an element.
 *
 * Properties: `class`, `data` (an object for `dataset`), `on` (listeners by event); what is a
 * property of the element is set as such, all else as an attribute. An attribute whose value is
 * `false`, `null` or `undefined` is left away.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (name === "class") {
      element.className = value;
    } else {
      set(element, name, value);
    }
  }
  append(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {any} value
 */
function set(element, name, value) {
  if (name in element) {
    /** @type {any} */ (element)[name] = value;
    return;
  }
  if (value === false || value === null || value === undefined) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * @param {Element | DocumentFragment} parent
 * @param {Child[]} children
 */
export function append(parent, children) {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

/**
 * Set text only if it is another one: a live region speaks at every change.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value null removes it
 */
export function setAttribute(element, name, value) {
  if (value === null) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/**
 * Make the children of `parent` show `items`, in order, one element an item; elements stay with
 * their item's key, so that focus and what somebody is typing survive.
 *
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} create
 * @param {(element: any, item: T) => void} [update]
 */
export function reconcile(parent, items, key, create, update) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of /** @type {Iterable<HTMLElement>} */ (parent.children)) {
    old.set(child.dataset.key ?? "", child);
  }
  /** @type {Element | null} */
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    if (element === undefined) {
      element = create(item);
      element.dataset.key = name;
    } else {
      old.delete(name);
    }
    update?.(element, item);
    if (element === at) {
      at = at.nextElementSibling;
    } else {
      parent.insertBefore(element, at);
    }
  }
  for (const element of old.values()) element.remove();
}

let ids = 0;

/** An id that no other element of the page has. */
export const freshId = (prefix = "id") => `${prefix}-${(ids += 1)}`;

/**
 * Call `draw` at the next frame, however often the returned function is called before.
 *
 * @param {() => void} draw
 * @returns {() => void}
 */
export function perFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
