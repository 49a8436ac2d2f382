// This module is browser compatible.

/**
 * Jinja templates that always come to an end. A chat template is a program that comes with a model, and its interpreter
 * counts no steps: one that loops on what a row or a request says would hang the process that renders it. Here every
 * evaluation is charged for, before the work where that is more than linear in what was charged already.
 *
 * @module
 */

// Chat templates are written for Jinja; this is the interpreter made for them, and its evaluation can be overridden.
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import {
  asksForParts,
  asPart,
  beginTurn,
  corrected,
  nameOfFilter,
  printedOf,
} from "./python_rules.ts";
import { strftime } from "./strftime.ts";

/** What a node costs besides the text it yields, in characters: about as many nanoseconds. */
const NODE = 200;
/** A turn of a loop, which makes a scope and nine variables even if its body is empty. */
const TURN = 1000;
/** An item of a list or mapping that was just made. */
const ITEM = 100;
/** A date in words. */
const FORMAT_DATE = 200_000;
/** What throws within the interpreter: an unknown name, leaving a loop. */
const THROW = 5000;
/** Costs that every rendering may have, and what each item and each character of its variables adds. */
const BASE_LIMIT = 1e8;
const LIMIT_PER_ITEM = 3e5;
const LIMIT_PER_CHARACTER = 1000;

/** Real templates have up to 30 thousand characters; the parser takes quadratic time for runs of white space. */
const LONGEST_TEMPLATE = 200_000;
const WHITE_DESERT = /\s{1000}/;

type Evaluate = Interpreter["evaluate"];
type Value = ReturnType<Evaluate>;
type Macro = (args: Value[], scope: Environment) => Value;
/** A node of the program, with the fields that are looked at here. */
type Node = NonNullable<Parameters<Evaluate>[0]> & {
  test?: Node;
  iterable?: Node & { lhs?: Node };
  value?: unknown;
  assignee?: Node & { object?: Node };
  body?: Node[];
  callee?: Node;
  call?: Node;
  filter?: Node;
  operator?: { value: string };
  name?: { value: string };
};

/** A template, parsed once and rendered often. */
export class BoundedTemplate {
  readonly #program;
  readonly #length: number;
  readonly #printed;

  /** @throws {Error} If the template has a mistake, or is longer than any template for conversations. */
  constructor(template: string) {
    if (template.length > LONGEST_TEMPLATE || WHITE_DESERT.test(template)) {
      throw new Error(
        `expected at most ${LONGEST_TEMPLATE} characters, and fewer than 1000 blanks in a row, found more`,
      );
    }
    this.#program = new Template(template).parsed;
    this.#length = template.length;
    this.#printed = printedOf(this.#program);
  }

  /**
   * @param variables What the template may name: plain data.
   * @param now The time that the template may print.
   * @throws {Error} If the template objects to them, cannot cope with them, or works longer than anything that writes
   * them down needs to.
   */
  render(variables: Record<string, unknown>, now: Date): string {
    const environment = new Environment();
    const strftime_now = (format: unknown) => strftime(now, String(format).slice(0, 1000));
    for (const [name, value] of Object.entries({ ...GLOBALS, strftime_now, ...variables })) {
      environment.set(name, value);
    }
    const limit = BASE_LIMIT + allowanceFor(variables);
    return String(
      new Meter(environment, limit, this.#length, this.#printed).run(this.#program),
    );
  }
}

/** As the library's own, but for `range`, which would make any list before something could count its items. */
const GLOBALS = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  raise_exception(message: unknown): never {
    throw new Error(String(message));
  },
  range(...bounds: number[]): number[] {
    const [start, stop, step = 1] = bounds.length === 1 ? [0, bounds[0]] : bounds;
    const length = Math.max(0, Math.ceil((stop - start) / step));
    if (![start, stop, step].every(Number.isSafeInteger) || !(length <= LONGEST_RANGE)) {
      throw new Error(`expected a range of at most ${LONGEST_RANGE} whole numbers`);
    }
    return Array.from({ length }, (_, i) => start + i * step);
  },
};

const LONGEST_RANGE = 100_000;

/** Nodes that may yield a list or mapping that was not there before. */
const MAKES_LISTS = new Set([
  ...["ArrayLiteral", "TupleLiteral", "ObjectLiteral", "BinaryExpression", "MemberExpression"],
  ...["CallExpression", "FilterExpression", "FilterStatement"],
]);

/** What a rendering may cost because these variables are there. */
function allowanceFor(value: unknown): number {
  if (typeof value === "string") return LIMIT_PER_ITEM + LIMIT_PER_CHARACTER * value.length;
  if (typeof value !== "object" || value === null) return LIMIT_PER_ITEM;
  return Object.values(value).reduce((sum, item) => sum + allowanceFor(item), LIMIT_PER_ITEM);
}

/** An interpreter that gives up when its work has cost too much. */
class Meter extends Interpreter {
  #spent = 0;
  /** The node whose parts are being evaluated, and what they have weighed so far. */
  #parent: Node | null = null;
  #operands = 0;
  /** Their values, where Python needs them. */
  #parts: Value[] = [];
  /** Of lists and mappings, which do not change: what they weigh as text. Of methods: what their object weighs. */
  readonly #weights = new WeakMap<object, number>();

  constructor(
    environment: Environment,
    readonly limit: number,
    readonly programLength: number,
    readonly printed: WeakSet<Node>,
  ) {
    super(environment);
  }

  override evaluate(node: Node | undefined, environment: Environment): Value {
    if (node === undefined) return super.evaluate(node, environment);
    const parent = this.#parent;
    const operands = this.#operands;
    const parts = this.#parts;
    if (parent?.type === "For" && node === parent.body![0]) {
      beginTurn(parent, environment.variables);
    }
    this.#parent = node;
    this.#operands = 0;
    this.#parts = [];
    this.#spend(NODE + this.#extraCost(node));
    let value;
    try {
      value = corrected(node, this.#parts, super.evaluate(node, environment));
      if (node.type === "Macro") bindMacro(node.name!.value, environment);
      if (value.type === "FunctionValue" && node.type === "MemberExpression") {
        this.#weights.set(value, this.#operands);
      }
    } finally {
      this.#parent = parent;
      this.#operands = operands;
      this.#parts = parts;
    }
    if (value.type === "UndefinedValue" && node.type === "Identifier") this.#spend(THROW);
    else if (MAKES_LISTS.has(node.type)) this.#spend(ITEM * sizeOf(value));
    if (parent === null) return value;
    this.#takePart(parent, node, value);
    const part = asPart(parent, node, value, this.printed.has(node));
    if (asksForParts(parent)) parts.push(part);
    return part;
  }

  #extraCost(node: Node): number {
    switch (node.type) {
      case "Break":
      case "Continue":
        return THROW;
      case "Macro": // whose whole body is searched for names when it is defined
      case "CallStatement":
        return 10 * this.programLength;
      case "Identifier":
        return node.value === "strftime_now" ? FORMAT_DATE : 0;
    }
    return 0;
  }

  /** Charges for what a node is about to do with one of its parts. */
  #takePart(parent: Node, part: Node, value: Value): void {
    const content = value.value;
    let weight = 1;
    if (typeof content === "string") {
      weight = content.length;
      this.#spend(weight);
    } else if (typeof content === "object" && content !== null) {
      const printed = isPrinted(parent, part);
      if (printed || multiplies(parent)) weight = this.#weigh(value);
      this.#spend(printed ? weight : sizeOf(value) * (parent.type === "For" ? TURN : 1));
    } else if (typeof content === "function") {
      weight = this.#weights.get(value) ?? 1;
    }
    // Searching, replacing, joining and indenting may take as long as the product of their operands.
    if (multiplies(parent) && isFactor(parent, part)) {
      const times = typeof content === "number" ? Math.abs(content) : weight;
      this.#spend(this.#operands * times);
    }
    this.#operands += weight;
  }

  /** Characters that a list or mapping has as text, its items' together with a few of its own. */
  #weigh(value: Value): number {
    if (typeof value.value === "string") return value.value.length;
    const known = this.#weights.get(value);
    if (known !== undefined) return known;
    let weight = 1;
    let changes = value.type === "NamespaceValue";
    for (const item of itemsOf(value)) {
      weight += 1 + this.#weigh(item);
      changes ||= typeof item.value === "object" && item.value !== null && !this.#weights.has(item);
    }
    // What a namespace is part of is weighed again each time, and at once, as often as it is there.
    this.#spend(sizeOf(value) * (changes ? ITEM : 1));
    // A list of lists of one list may print as more than there is memory for.
    if (weight > this.limit) this.#giveUp();
    if (!changes) this.#weights.set(value, weight);
    return weight;
  }

  #spend(cost: number): void {
    this.#spent += cost;
    if (!(this.#spent <= this.limit)) this.#giveUp(); // not a number, too
  }

  #giveUp(): never {
    throw new Error(
      "it takes more work than writing this conversation down can need; it is broken or hostile: replace it",
    );
  }
}

/** Lets a macro see the variables of the place where it is defined, and of its caller's no more than the `caller` of a call block. */
function bindMacro(name: string, definedIn: Environment): void {
  const macro = definedIn.lookupVariable(name) as Value & { value: Macro };
  const evaluate = macro.value;
  macro.value = (args, scope) => {
    const own = new Environment(definedIn);
    const caller = scope.variables.get("caller");
    if (caller !== undefined) own.variables.set("caller", caller);
    return evaluate(args, own);
  };
}

function itemsOf({ value }: Value): Iterable<Value> {
  if (value instanceof Map) return value.values();
  return Array.isArray(value) ? value : [];
}

function sizeOf({ value }: Value): number {
  if (value instanceof Map) return value.size;
  return Array.isArray(value) ? value.length : 0;
}

/** Whether a list or mapping may become text when this node uses it. */
function isPrinted(parent: Node, part: Node): boolean {
  switch (parent.type) {
    case "If":
      return part !== parent.test;
    case "For":
      return part !== parent.iterable && part !== parent.iterable?.lhs;
    case "Set":
      return part !== parent.value && part !== parent.assignee?.object;
    case "FilterExpression":
      return /^(?:tojson|string|join)$/.test(nameOfFilter(parent));
    case "Program":
    case "BinaryExpression":
    case "CallExpression":
    case "CallStatement":
    case "FilterStatement":
      return true;
  }
  return false;
}

/** Whether a node may work on one of its parts as often as another one is long. */
function multiplies(node: Node): boolean {
  switch (node.type) {
    case "FilterExpression":
      return node.filter!.type === "CallExpression";
    case "BinaryExpression":
    case "CallExpression":
    case "CallStatement":
    case "FilterStatement":
      return true;
  }
  return false;
}

/** Of such a node: whether it works on the parts before this one as often as this one is long. */
function isFactor(node: Node, part: Node): boolean {
  switch (node.type) {
    case "BinaryExpression":
      return /in$/.test(node.operator!.value);
    case "CallExpression":
      return part === node.callee;
    case "CallStatement":
      return part === node.call?.callee;
    case "FilterStatement":
      return !node.body!.includes(part);
  }
  return true;
}
