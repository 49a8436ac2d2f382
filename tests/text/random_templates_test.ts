import assert from "node:assert/strict";
import { Random } from "../../fixtures/random.ts";
import { BoundedTemplate } from "../../src/text/bounded_template.ts";
import { askPython, lackOfPython } from "../python.ts";
import { unless } from "../skip.ts";
import { randomTemplate } from "./random_templates.ts";

const TEMPLATES = Number(Deno.env.get("FUZZ_TEMPLATES") ?? 600);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 1);

const CONVERSATION = [
  { role: "user", content: "\n  def f():\n\u0085" },
  { role: "assistant", content: "😀 ok " },
];
const VARIABLES = { x: { items: [1, null], count: 2, none: null, text: 'it\'s "x"\n' } };

Deno.test(
  unless(
    await lackOfPython("jinja2", "transformers"),
    "templates put together by chance give what transformers gives, or are refused",
  ),
  async () => {
    const random = new Random(SEED);
    const templates = Array.from({ length: TEMPLATES }, () => randomTemplate(random));
    const { rendered } = await askPython<{ rendered: (string | null)[][][] }>(
      new URL("chat_peer.py", import.meta.url),
      {
        directory: "fixtures/model",
        tokens: {},
        templates,
        conversations: [CONVERSATION],
        variables: VARIABLES,
      },
    );
    let equal = 0;
    for (const [i, template] of templates.entries()) {
      const [expected] = rendered[i][0];
      let ours = null;
      try {
        const variables = { messages: CONVERSATION, tools: null, documents: null, ...VARIABLES };
        ours = new BoundedTemplate(template).render(variables, new Date());
      } catch {
        continue; // what is refused misleads nobody
      }
      assert.equal(ours, expected, template);
      equal++;
    }
    assert.ok(equal > 0.4 * TEMPLATES, `only ${equal} of ${TEMPLATES} are rendered`);
  },
);
