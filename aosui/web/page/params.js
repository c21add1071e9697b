/** From what somebody typed to the parameters of a workflow, and back: no DOM. */

/**
 * A parameter of a workflow, as the server lists it.
 *
 * @typedef {object} Param
 * @property {string} name
 * @property {"string" | "text" | "integer" | "number" | "boolean"} type
 * @property {boolean} required
 * @property {any} default null when required
 * @property {any[]} choices
 * @property {string} description
 * @property {boolean} secret
 */

/** What stands in a run's parameters for a secret. */
export const MASK = "•••";

/**
 * What a field shows at first.
 *
 * @param {Param} param
 * @param {Record<string, any>} last the values of the last time; secrets are never among them
 * @returns {string | boolean}
 */
export function initial(param, last) {
  let value = param.secret ? undefined : last[param.name];
  if (value === undefined || (param.choices.length > 0 && !param.choices.includes(value))) {
    value = param.default;
  }
  if (param.type === "boolean" && param.choices.length === 0) return value === true;
  return value === null || value === undefined ? "" : String(value);
}

/**
 * Read one field.
 *
 * @param {Param} param
 * @param {string | boolean} raw what the field holds
 * @returns {{value?: any, problem?: string}} no value: leave the parameter to its default
 */
export function read(param, raw) {
  if (typeof raw === "boolean") return { value: raw };
  if (raw === "" && !(param.type === "string" || param.type === "text")) {
    return param.required ? { problem: "is needed" } : {};
  }
  if (raw === "") {
    if (param.required) return { problem: "is needed" };
    // An empty text is a value of its own where the default is another text.
    return param.default === null ? {} : { value: "" };
  }
  if (param.choices.length > 0) {
    const choice = param.choices.find((each) => String(each) === raw);
    return choice === undefined ? { problem: "is not one of the choices" } : { value: choice };
  }
  if (param.type === "integer") {
    const number = Number(raw);
    return /^[+-]?\d+$/.test(raw.trim()) && Number.isSafeInteger(number)
      ? { value: number }
      : { problem: "must be a whole number" };
  }
  if (param.type === "number") {
    const number = Number(raw);
    return raw.trim() !== "" && Number.isFinite(number)
      ? { value: number }
      : { problem: "must be a number" };
  }
  if (param.type === "boolean") return { value: raw === "true" };
  return { value: raw };
}

/**
 * Read all fields.
 *
 * @param {readonly Param[]} params
 * @param {(name: string) => string | boolean} raw
 * @returns {{values: Record<string, any>, problems: Record<string, string>}}
 */
export function readAll(params, raw) {
  /** @type {Record<string, any>} */
  const values = {};
  /** @type {Record<string, string>} */
  const problems = {};
  for (const param of params) {
    const { value, problem } = read(param, raw(param.name));
    if (problem !== undefined) problems[param.name] = problem;
    else if (value !== undefined) values[param.name] = value;
  }
  return { values, problems };
}

/**
 * What may be remembered of `values`.
 *
 * @param {readonly Param[]} params
 * @param {Record<string, any>} values
 * @returns {Record<string, any>}
 */
export function rememberable(params, values) {
  const known = new Set(params.filter((param) => !param.secret).map((param) => param.name));
  return Object.fromEntries(Object.entries(values).filter(([name]) => known.has(name)));
}

/**
 * The workflows that fit what somebody types: every word somewhere in name, title or description.
 *
 * @template {{workflow: string, title: string, description: string}} W
 * @param {readonly W[]} workflows
 * @param {string} query
 * @returns {W[]} those whose name or title begins with it first
 */
export function matching(workflows, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...workflows];
  const rank = (/** @type {W} */ { workflow, title }) =>
    [title, workflow, workflow.slice(workflow.indexOf(":") + 1)].some((name) =>
      name.toLowerCase().startsWith(words[0]),
    )
      ? 0
      : 1;
  return workflows
    .filter(({ workflow, title, description }) => {
      const text = `${workflow} ${title} ${description}`.toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => rank(a) - rank(b));
}
