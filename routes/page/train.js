/** Training: the form of a job, and the command line that does the same. */
import { complain, copyFrom, onClick, oneAtATime, onFile, settled } from "./actions.js";
import { byId, choose, counted, offer, remember, showCommand } from "./elements.js";
import { JOBS } from "./job.js";
import { jobRequestOf } from "./job_request.js";
import { startJobs } from "./jobs.js";
import { ask } from "./server.js";

const FILES = "v1/files";
/** What `train` calls no limit of steps. */
const OFF = -1;
/** Milliseconds without a keystroke before the command line is asked for. */
const PAUSE = 250;

/** Fields whose placeholders are what the server would take, under the names of `train`. */
const DEFAULTS = {
  beta: "beta",
  learning_rate: "learning_rate",
  n_epochs: "num_train_epochs",
  max_steps: "max_steps",
  batch_size: "per_device_train_batch_size",
};

/**
 * @param {Parameters<typeof startJobs>[0]} events
 * @returns {{ offer(models: { id: string }[]): void, reload(): Promise<void> }} The first takes the models that there
 *   are, the second looks for new data and jobs.
 */
export function startTrain(events) {
  const form = byId("train-form");
  const { elements } = form;
  const command = byId("train-command");
  const copy = byId("train-copy");
  const remove = byId("train-remove");
  const jobs = startJobs(events);
  let files = [];
  let begun = false;
  /** Aborts the preview in work, which an earlier state of the form wanted. */
  let controller = new AbortController();

  async function reloadFiles() {
    ({ data: files } = await ask(`${FILES}?limit=100`));
    const choices = files.map((file) => [file.id, titleOf(file)]);
    offer(elements.training_file, choices);
    offer(elements.validation_file, choices);
  }

  async function preview() {
    remove.hidden = fileOf(elements.training_file.value)?.smoldpo.source !== "upload";
    controller.abort();
    const wrong = form.querySelector(":is(input, select):invalid");
    if (wrong) {
      const name = wrong.closest("label").firstChild.textContent.trim();
      return show(`${name}: ${wrong.title || wrong.validationMessage}`, true);
    }
    controller = new AbortController();
    const { signal } = controller;
    try {
      const preview = { method: "POST", body: jobRequestOf(elements), signal };
      const { command: line, options } = await ask(`${JOBS}/preview`, preview);
      for (const [field, name] of Object.entries(DEFAULTS)) {
        elements[field].placeholder = options[name] === OFF ? "off" : options[name];
      }
      show(line, false);
    } catch (error) {
      if (!signal.aborted) show(error.message, true);
    }
  }

  /** A command line, or why there is none. */
  function show(text, failed) {
    if (failed) command.textContent = text;
    else showCommand(command, text);
    command.classList.toggle("failed", failed);
    copy.disabled = failed;
  }

  const fileOf = (id) => files.find((file) => file.id === id);
  const previewSoon = settled(preview, PAUSE);

  form.addEventListener("input", previewSoon);
  const start = oneAtATime(async () => {
    jobs.follow(await ask(JOBS, { method: "POST", body: jobRequestOf(elements) }));
    byId("job").scrollIntoView({ block: "nearest" });
    elements.suffix.value = ""; // for it is taken now
    form.dispatchEvent(new Event("change"));
    previewSoon();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  onClick(copy, () => copyFrom(command));
  onFile(byId("train-upload"), byId("train-file"), async (file) => {
    const body = new FormData();
    body.append("purpose", "fine-tune");
    body.append("file", file);
    const { id } = await ask(FILES, { method: "POST", body });
    await reloadFiles();
    choose(elements.training_file, [id]);
    await preview();
  });
  onClick(remove, async () => {
    await ask(`${FILES}/${elements.training_file.value}`, { method: "DELETE" });
    await reloadFiles();
    await preview();
    elements.training_file.focus();
  });

  return {
    offer(models) {
      offer(elements.model, models.map(({ id }) => [id, id]));
    },
    async reload() {
      await reloadFiles().catch(complain);
      if (!begun) {
        begun = true;
        choose(elements.validation_file, ["fixtures-eval"]);
        remember(form);
      }
      previewSoon();
      await jobs.reload();
    },
  };
}

function titleOf({ filename, smoldpo: { rows, source } }) {
  const count = rows === null ? "" : ` (${counted(rows, "pair")})`;
  return (source === "preferences" ? "collected pairs" : filename) + count;
}
