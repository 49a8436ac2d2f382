import { generate, train } from "@smoldpo/smoldpo";

const question = { prompt: "What does the molp eat?", maxNewTokens: 24 };
console.log("before:", (await generate(question)).text);
const run = await train({ maxSteps: 12 }, {
  onEvent(event) {
    if (event.type === "stepped") console.log(`step ${event.metrics.step}: ${event.metrics.loss}`);
  },
});
console.log("after:", (await generate({ ...question, model: run.output })).text);
