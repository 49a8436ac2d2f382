// This module is browser compatible.

/**
 * Where `@huggingface/jinja` does another thing than Jinja in Python, without a word: what to make of a node's value.
 *
 * @module
 */

import {
  areEqual,
  flag,
  integer,
  isList,
  list,
  methodsOf,
  nothing,
  str,
  strip,
  text,
  type Value,
} from "./python_values.ts";

/** A node of a template, with the fields that are looked at here. */
export interface TemplateNode {
  type: string;
  operator?: { value: string };
  object?: TemplateNode;
  property?: TemplateNode;
  computed?: boolean;
  operand?: TemplateNode;
  negate?: boolean;
  test?: TemplateNode;
  filter?: TemplateNode & { callee?: TemplateNode; args?: TemplateNode[] };
  iterable?: TemplateNode & { lhs?: TemplateNode };
  loopvar?: TemplateNode;
  value?: unknown;
  body?: TemplateNode[];
  alternate?: TemplateNode[];
  defaultBlock?: TemplateNode[];
}

const STATEMENTS = new Set([
  ...["If", "For", "Set", "Macro", "CallStatement", "FilterStatement"],
  ...["Comment", "Break", "Continue"],
]);
/** Nodes whose parts have to be known to correct them. */
const WITH_PARTS = new Set([
  ...["BinaryExpression", "MemberExpression", "FilterExpression", "TestExpression"],
]);

/** Whether {@link corrected} asks for the values of a node's parts. */
export function asksForParts({ type }: TemplateNode): boolean {
  return WITH_PARTS.has(type);
}

/** The expressions of a template that are printed. */
export function printedOf(program: TemplateNode): WeakSet<TemplateNode> {
  const printed = new WeakSet<TemplateNode>();
  const visit = (nodes: readonly TemplateNode[] = []) => {
    for (const node of nodes) {
      if (node.type !== "Program" && !STATEMENTS.has(node.type)) printed.add(node);
      visit(node.body);
      visit(node.alternate);
      visit(node.defaultBlock);
    }
  };
  visit(program.body);
  return printed;
}

export function nameOfFilter({ filter }: TemplateNode): string {
  return String((filter?.callee ?? filter)?.value);
}

/** What a node that is evaluated gives in Python. */
export function corrected(node: TemplateNode, parts: readonly Value[], value: Value): Value {
  switch (node.type) {
    case "BinaryExpression":
      return parts.length === 2 ? binary(node.operator!.value, parts[0], parts[1], value) : value;
    case "MemberExpression":
      return member(node, parts, value);
    case "FilterExpression":
      return filtered(node, parts[0], value);
    case "TestExpression":
      return tested(node, parts[0], value);
  }
  return value;
}

function binary(operator: string, left: Value, right: Value, value: Value): Value {
  switch (operator) {
    case "==":
      return flag(areEqual(left, right));
    case "!=":
      return flag(!areEqual(left, right));
    case "in":
    case "not in":
      if (!isList(right)) return value;
      return flag(
        (right.value as Value[]).some((item) => areEqual(item, left)) === (operator === "in"),
      );
    case "%": {
      const divisor = right.value as number;
      if (divisor === 0) throw new Error("expected a number other than 0 behind %, found 0");
      const remainder = value.value as number;
      if (remainder !== 0 && remainder < 0 !== divisor < 0) {
        value.value = remainder + divisor;
      }
      return value;
    }
    case "+":
      if (left.type !== right.type && [left.type, right.type].includes("StringValue")) {
        throw new Error(
          `expected two texts to join with +, found a ${left.type} and a ${right.type}`,
        );
      }
  }
  return value;
}

function member(node: TemplateNode, [object, at]: readonly Value[], value: Value): Value {
  if (node.property?.type === "SliceExpression") return value;
  const name = node.computed ? undefined : node.property?.value;
  if (object.type === "UndefinedValue") {
    throw new Error(
      `expected a value that has ${JSON.stringify(name ?? at?.value)}, found nothing`,
    );
  }
  if (name === "length" && (isList(object) || object.type === "StringValue")) return nothing();
  if (name !== undefined && object.type === "ObjectValue") {
    const own = object.builtins.get(String(name)); // before a key of that name
    return own?.type === "FunctionValue" &&
        ["get", "items", "keys", "values"].includes(String(name))
      ? own
      : value;
  }
  if (object.type === "StringValue" && at?.type === "IntegerValue") {
    const character = [...str(object)].at(at.value as number);
    return character === undefined ? nothing() : text(character);
  }
  return value;
}

/** Filters that look at an attribute of each item. */
const OF_ATTRIBUTES = new Set(["map", "selectattr", "rejectattr"]);

function filtered(node: TemplateNode, operand: Value, value: Value): Value {
  if (OF_ATTRIBUTES.has(nameOfFilter(node))) refuseAttributes(node);
  if (operand.type !== "StringValue" || node.filter!.type !== "Identifier") return value;
  switch (nameOfFilter(node)) {
    case "trim":
      return text(strip(str(operand), "both"));
    case "length":
      return integer([...str(operand)].length);
  }
  return value;
}

/** @throws {Error} For what the library does not look up as Jinja does: a path of names, or whether a name is missing. */
function refuseAttributes(node: TemplateNode): void {
  const given = (node.filter!.args ?? []).map((arg) =>
    arg.type === "KeywordArgumentExpression" ? arg.value as TemplateNode : arg
  ).filter(({ type }) => type === "StringLiteral");
  const [name, test] = given.map(({ value }) => String(value));
  if (name?.includes(".") || test === "undefined") {
    throw new Error(
      `expected ${nameOfFilter(node)} of a plain attribute, found ${
        given.map(({ value }) => `'${value}'`).join(", ")
      }; write a loop with an if`,
    );
  }
}

function tested({ test, negate = false }: TemplateNode, operand: Value, value: Value): Value {
  const { type } = operand;
  switch (test?.value) {
    case "iterable":
      return flag(
        (isList(operand) || ["StringValue", "ObjectValue", "UndefinedValue"].includes(type)) !==
          negate,
      );
    case "number":
      return type === "BooleanValue" ? flag(!negate) : value;
  }
  return value;
}

/** What a node's value is for the node that uses it. */
export function asPart(
  parent: TemplateNode,
  node: TemplateNode,
  value: Value,
  isPrinted: boolean,
): Value {
  if (isPrinted) return asText(value);
  switch (parent.type) {
    case "BinaryExpression":
      return parent.operator!.value === "~" ? text(str(value)) : value;
    case "For":
      return node === (parent.iterable?.lhs ?? parent.iterable) && value.type === "UndefinedValue"
        ? list([])
        : value;
    case "MemberExpression":
      return node === parent.object ? withMethods(value) : value;
    case "FilterExpression":
      if (node !== parent.operand) return value;
      if (nameOfFilter(parent) === "tojson" && value.type === "UndefinedValue") {
        throw new Error("expected a value for tojson, found nothing");
      }
      if (nameOfFilter(parent) === "string") return text(str(value));
      if (nameOfFilter(parent) === "join" && isList(value)) {
        return list((value.value as Value[]).map((item) => text(str(item))));
      }
      return withMethods(value);
  }
  return value;
}

function asText(value: Value): Value {
  return value.type === "StringValue" || value.type === "UndefinedValue" ? value : text(str(value));
}

function withMethods(value: Value): Value {
  if (value.type !== "StringValue") return value;
  const builtins = value.builtins as Map<string, Value>;
  for (const [name, own] of methodsOf(str(value))) builtins.set(name, own);
  return value;
}

/** Takes what a turn of a loop has set out of the scope that the turns share, so that the next one begins afresh. */
export function beginTurn(loop: TemplateNode, variables: Map<string, unknown>): void {
  const kept = new Set(["loop", "namespace", ...namesOf(loop.loopvar)]);
  for (const name of variables.keys()) if (!kept.has(name)) variables.delete(name);
}

function namesOf(target: TemplateNode | undefined): string[] {
  if (Array.isArray(target?.value)) return target.value.flatMap(namesOf);
  return [String(target?.value)];
}
