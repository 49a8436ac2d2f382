/** The measures that a training shows first, under the names of metrics.jsonl. */
export const MEASURES = [
  { metric: "loss", title: "Loss" },
  { metric: "rewards/accuracies", title: "Reward accuracy", range: [0, 1.05] },
  { metric: "rewards/margins", title: "Reward margin" },
];

/**
 * @param {object | null} final The measures at the end, as far as there are any.
 * @param {object | null} first What was measured before, if it was.
 * @returns {string} Such as `loss 0.693 → 0.547 · reward accuracy 0.500 → 1.00`.
 */
export function inWords(final, first = null) {
  const of = (line, metric) => Number.isFinite(line?.[metric]) ? [line[metric].toPrecision(3)] : [];
  return MEASURES.filter(({ metric }) => of(final, metric).length > 0)
    .map(({ metric, title }) =>
      `${title.toLowerCase()} ${[...of(first, metric), ...of(final, metric)].join(" → ")}`
    )
    .join(" · ");
}
