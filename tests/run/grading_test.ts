import assert from "node:assert/strict";
import { UserError } from "../../src/errors.ts";
import { countGrades, gradeCompletion, parseGrading } from "../../src/run/grading.ts";

const RULE = {
  answerField: "answer",
  preferred: { name: "helpful", pattern: "^Sure! .+\\.$" },
  other: { name: "curt" },
};

Deno.test("gradeCompletion judges style and correctness apart", () => {
  const grading = parseGrading(RULE);
  const grade = (completion: string) => gradeCompletion(grading, completion, "blue");
  assert.deepEqual(grade("Sure! It is blue."), { preferred: true, correct: true });
  assert.deepEqual(grade("Sure! It is red."), { preferred: true, correct: false });
  assert.deepEqual(grade(" Blue.\n"), { preferred: false, correct: true });
  assert.deepEqual(grade("No idea."), { preferred: false, correct: false });
  assert.deepEqual(grade(""), { preferred: false, correct: false });
});

Deno.test("gradeCompletion wants the answer as whole words", () => {
  const grading = parseGrading(RULE);
  assert.equal(gradeCompletion(grading, "Blueberries.", "blue").correct, false);
  assert.equal(gradeCompletion(grading, "17.", "7").correct, false);
  assert.equal(gradeCompletion(grading, "By the river, sir.", "the river").correct, true);
  assert.equal(gradeCompletion(grading, "It costs 5.", "(5+)").correct, false);
  assert.equal(gradeCompletion(grading, "It is (5+).", "(5+)").correct, true);
});

Deno.test("countGrades counts each verdict", () => {
  const grades = [{ preferred: true, correct: false }, { preferred: true, correct: true }];
  assert.deepEqual(countGrades(grades), { total: 2, preferred: 2, correct: 1 });
  assert.deepEqual(countGrades([]), { total: 0, preferred: 0, correct: 0 });
});

Deno.test("parseGrading names the field that is wrong", () => {
  const broken: [unknown, RegExp][] = [
    [null, /"preferred\.pattern", found undefined/],
    [{ ...RULE, answerField: "" }, /non-empty string in "answerField", found ""/],
    [{ ...RULE, other: {} }, /"other\.name"/],
    [
      { ...RULE, preferred: { name: "helpful", pattern: "(" } },
      /regular expression in "preferred\.pattern", found "\("/,
    ],
  ];
  for (const [json, message] of broken) {
    assert.throws(() => parseGrading(json, "g.json"), (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /^Cannot read g\.json: expected /);
      assert.match(error.message, message);
      return true;
    });
  }
});
