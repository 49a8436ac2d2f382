/** The measures that a training shows first, under the names of metrics.jsonl. */
export const MEASURES = [
  { metric: "loss", title: "Loss" },
  { metric: "rewards/accuracies", title: "Reward accuracy", range: [0, 1.05] },
  { metric: "rewards/margins", title: "Reward margin" },
];

/**
 * A measure of each held-out set; those of strong pairs alone are left out.
 *
 * @param {object | null} line
 * @param {string} metric
 * @param {string} prefix What stands in front of the names of held-out measures.
 * @returns {[set: string, value: number][]} A set without a name is "".
 */
export function bySet(line, metric, prefix = "") {
  return Object.entries(line ?? {}).flatMap(([name, value]) => {
    const isMeasure = name.startsWith(prefix) && name.endsWith(metric) && Number.isFinite(value);
    const set = isMeasure ? /^(?:(.+)_)?$/.exec(name.slice(prefix.length, -metric.length)) : null;
    return set === null || /(^|_)filtered$/.test(set[1]) ? [] : [[set[1] ?? "", value]];
  });
}

/**
 * @param {object | null} final The measures at the end, as far as there are any.
 * @param {object | null} first What was measured before, if it was.
 * @returns {string} Such as `loss 0.693 → 0.547 · reward accuracy 0.500 → 1.00`.
 */
export function inWords(final, first = null) {
  return MEASURES.flatMap(({ metric, title }) => {
    const before = new Map(bySet(first, metric));
    return bySet(final, metric).map(([set, value]) => {
      const values = [...before.has(set) ? [before.get(set)] : [], value];
      return `${set} ${title.toLowerCase()} `.trimStart() +
        values.map((value) => value.toPrecision(3)).join(" → ");
    });
  }).join(" · ");
}
