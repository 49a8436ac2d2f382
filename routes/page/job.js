/** One job: its curves, lines and progress as they come, and what can be done with it. */
import { Curves } from "./curves.js";
import { complain, onClick } from "./actions.js";
import { byId, showCommand } from "./elements.js";
import { inWords } from "./measures.js";
import { ask, followEvents } from "./server.js";

export const JOBS = "v1/fine_tuning/jobs";
/** Steps whose pace says when the others will be done. */
const PACE_STEPS = 30;

export const isUnderWay = ({ status }) => ["queued", "running", "paused"].includes(status);
export const titleOf = ({ id, user_provided_suffix: suffix }) => suffix ?? id;

/**
 * @param {{ onChange(): void, onCompare(job: object): void, onRun(id: string): void }} events Its state may be another; its
 *   model is to be asked; its run is to be shown.
 * @returns {{ readonly id: string | null, follow(job: object): void, update(job: object): void }}
 */
export function startJob({ onChange, onCompare, onRun }) {
  const section = byId("job");
  const lines = byId("job-lines");
  let job = null;
  /** Ends the following. */
  let controller = new AbortController();
  let connected = true;
  let curves;
  /** Step and time of the last training steps without a pause between them, the newest last. */
  let paced = [];
  /** The line of the last training step. */
  let last = null;

  async function follow(followed) {
    controller.abort();
    controller = new AbortController();
    const { signal } = controller;
    paced = [];
    last = null;
    connected = true;
    lines.replaceChildren();
    section.hidden = false;
    curves = new Curves(byId("job-curves"), [""]);
    update(followed);
    const onConnection = (there) => {
      connected = there;
      showFacts();
    };
    try {
      const path = `${JOBS}/${job.id}/events`;
      for await (const event of followEvents(path, { signal, onConnection })) show(event);
      onChange();
    } catch (error) {
      if (signal.aborted) return;
      complain(error);
      connected = true;
      update({ ...job, status: "no longer known to the server" });
    }
  }

  function show({ type, data, message, created_at: time }) {
    if (type === "metrics") showMetrics(data, time);
    else {
      lines.append(`${message}\n`);
      lines.scrollTop = lines.scrollHeight;
      onChange();
    }
  }

  function showMetrics(line, time) {
    curves.add(line);
    if (!("loss" in line)) return;
    paced = [...paced, { step: line.step, time }].slice(-PACE_STEPS);
    last = line;
    showFacts();
  }

  function update(updated) {
    job = updated;
    if (job.status !== "running") paced = [];
    byId("job-title").textContent = titleOf(job);
    byId("job-pause").hidden = !["queued", "running"].includes(job.status);
    byId("job-resume").hidden = job.status !== "paused";
    byId("job-cancel").hidden = !isUnderWay(job);
    byId("job-compare").hidden = byId("job-run").hidden = job.status !== "succeeded";
    showCommand(byId("job-command"), job.smoldpo.command);
    showFacts();
  }

  function showFacts() {
    const step = last?.step ?? 0;
    const total = job.smoldpo.total_steps;
    const progress = byId("job-progress");
    progress.max = total ?? 1;
    progress.value = step;
    const trouble = connected ? job.error?.message : "reconnecting…";
    byId("job-facts").textContent = [
      trouble ?? job.status,
      total === null ? "" : `step ${step} of ${total}`,
      total === null ? "" : remaining(total - step),
      inWords(last),
    ].filter((fact) => fact !== "").join(" · ");
  }

  function remaining(steps) {
    if (paced.length < 2) return "";
    const [from, to] = [paced[0], paced.at(-1)];
    const seconds = Math.ceil(steps * (to.time - from.time) / (to.step - from.step));
    return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")} to go`;
  }

  for (const verb of ["pause", "resume", "cancel"]) {
    onClick(byId(`job-${verb}`), async () => {
      update(await ask(`${JOBS}/${job.id}/${verb}`, { method: "POST" }));
      onChange();
    });
  }
  byId("job-compare").addEventListener("click", () => onCompare(job));
  byId("job-run").addEventListener("click", () => onRun(job.smoldpo.run));
  return {
    get id() {
      return job?.id ?? null;
    },
    follow,
    update,
  };
}
