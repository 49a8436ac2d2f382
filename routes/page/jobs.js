/** The jobs: their list, and which of them is looked at. */
import { complain, newest, settled } from "./actions.js";
import { byId, counted, element } from "./elements.js";
import { isUnderWay, JOBS, startJob, titleOf } from "./job.js";
import { ask } from "./server.js";

/** Milliseconds between looks at the list while jobs are under way that nobody follows. */
const BETWEEN_LOOKS = 3000;

/**
 * @param {{ onTrained(): void, onCompare(job: object): void, onRun(id: string): void }} events There is a new model; a job's
 *   is to be asked; a run is to be shown.
 * @returns {{ reload(): Promise<void>, follow(job: object): void }}
 */
export function startJobs({ onTrained, ...events }) {
  const list = byId("jobs");
  const entries = new Map();
  const reload = () => load().catch(complain);
  const view = startJob({ onChange: settled(reload, 100), ...events });
  const lookAgain = settled(() => byId("train").hidden || reload(), BETWEEN_LOOKS);
  /** Jobs whose models have been told of. */
  const trained = new Set();

  const load = newest(() => ask(`${JOBS}?limit=100`), ({ data }) => {
    if (view.id === null && data.length > 0) view.follow(data.find(isUnderWay) ?? data[0]);
    byId("job-count").textContent = data.length === 0 ? "No jobs yet" : counted(data.length, "job");
    for (const job of data.toReversed()) show(job);
    if (data.some((job) => job.id !== view.id && isUnderWay(job))) lookAgain();
    const news = data.filter(({ id, status }) => status === "succeeded" && !trained.has(id));
    for (const { id } of news) trained.add(id);
    if (news.length > 0) onTrained();
  });

  /** A job keeps its place in the list, and with it the keyboard's focus. */
  function show(job) {
    if (!entries.has(job.id)) {
      const button = element("button", "link", titleOf(job));
      button.type = "button";
      button.addEventListener("click", () => follow(job));
      const entry = element("li", "");
      entry.append(button, element("span", "facts"));
      entries.set(job.id, entry);
      list.prepend(entry);
    }
    const [button, facts] = entries.get(job.id).children;
    const time = new Date(job.created_at * 1000).toLocaleString();
    facts.textContent =
      `${job.status} · ${job.model} on ${job.smoldpo.training_filename} · ${time}`;
    button.setAttribute("aria-current", job.id === view.id);
    if (job.id === view.id) view.update(job);
  }

  function follow(job) {
    view.follow(job);
    reload();
  }
  return { reload, follow };
}
