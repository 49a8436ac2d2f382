/** What the form of a job asks for, as /v1/fine_tuning/jobs takes it. */

import { chosenIn } from "./elements.js";

/** Choice of a select. */
const NONE = "";

/** Empty fields are left to the server. */
export function jobRequestOf(elements) {
  const { training_file: file, validation_file, preset, suffix, others } = elements;
  const heldOut = chosenIn(validation_file);
  const numbers = (...names) =>
    Object.fromEntries(
      names.filter((name) => elements[name].value !== "")
        .map((name) => [name, elements[name].valueAsNumber]),
    );
  return {
    model: elements.model.value,
    training_file: file.value,
    ...heldOut.length === 1 && { validation_file: heldOut[0] },
    ...suffix.value !== "" && { suffix: suffix.value },
    method: {
      type: "dpo",
      dpo: { hyperparameters: numbers("beta", "n_epochs", "batch_size") },
    },
    smoldpo: {
      ...heldOut.length > 1 && { eval_dataset: heldOut },
      ...preset.value !== NONE && { preset: preset.value },
      ...numbers("learning_rate", "max_steps"),
      ...optionsOf(others.value),
    },
  };
}

/** `loss_type=ipo shuffle=false` as JSON has it. */
function optionsOf(text) {
  const items = text.split(/\s+/).filter((item) => item !== "");
  return Object.fromEntries(items.map((item) => {
    const [name, value = ""] = item.split(/=(.*)/);
    if (value === "true" || value === "false") return [name, value === "true"];
    return [name, value === "" || Number.isNaN(Number(value)) ? value : Number(value)];
  }));
}
