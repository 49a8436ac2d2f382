import { Random } from "../../fixtures/random.ts";

/** What strings are made of: where tokenizers cut, and where their idea of Unicode differs. */
const PIECES: (string | ((random: Random) => string))[] = [
  // Space of every kind; U+0085, U+200B and U+FEFF are space to some
  ...[" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", "\v", "\f", "\u0085", "\u00a0", "\u1680"],
  ...["\u2003", "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\u2060", "\ufeff", "\u180e"],
  // Numbers: digits, letters, others
  ...["0", "42", "3.14", "²", "½", "①", "Ⅻ", "٣", "९", "〇", "𝟘", "1,000", "1e-9", "0x1F", "٣½Ⅷ"],
  // Contractions and what looks like them
  ...["'s", "'S", "’s", "'ll", "'re", "'ve", "'", "''", "I'm", "rock'n'roll", "'d've", "don't"],
  // Letters, joined and not
  ...[
    "the",
    " the",
    " Hello",
    "naïve",
    "nai\u0308ve",
    "Straße",
    "ſ",
    "ĳ",
    "Ω",
    "Ω",
    "שלום",
    "مرحبا",
  ],
  ...["日本語", "한국어", "नमस्ते", "ไทย", "𐍈", "ﬁ", "\u0301", "ʼn", "ª", "İ", "ǅ"],
  // Signs and pictures
  ...[
    "-",
    "--",
    "...",
    "…",
    "_",
    "$",
    "€",
    "→",
    "≠",
    "™",
    "©",
    "#",
    "!?",
    "«»",
    "/*",
    "://",
    "\\n",
  ],
  ...["😀", "👩‍👩‍👧", "🇩🇪", "👍🏽", "☃️", "�", "\u202e", "\u200d", "\ufe0f", "\u{1f1e6}"],
  // Special tokens, whole, nested and broken
  ...["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start", "|>", "<|", "<|IM_END|>"],
  ...["<|<|im_end|>|>", "<repo_name>", "<jupyter_start>", "<|im_end|> ", " <|im_start|>user\n"],
  // Code
  ...[
    "def f(x):\n    return x",
    "{% if a %}",
    "</div>",
    '{"a": [1, 2]}',
    "a_b",
    "camelCase",
    "\t\t}",
  ],
  // Controls, some of which SmolLM has no token for
  (random) => String.fromCharCode(random.below(32)),
  (random) => String.fromCharCode(0x7f + random.below(33)),
  // One character many times
  (random) =>
    random.pick(["a", " ", "=", "\n", "-", "9", "é", "😀", "ا"]).repeat(2 + random.below(40)),
  // Words of letters that no merge was learned for
  (random) => Array.from({ length: 1 + random.below(12) }, () => letter(random)).join(""),
  // Any character of the common planes, and halves of characters
  (random) => String.fromCodePoint(random.below(0x3000)),
  (random) => String.fromCharCode(random.below(0x10000)),
  (random) => String.fromCodePoint(0x10000 + random.below(0x20000)),
];

function letter(random: Random): string {
  return String.fromCharCode(0x61 + random.below(26));
}

/** @returns `count` different strings on which tokenizers like to differ, the same ones each time. */
export function hostileStrings(count: number): string[] {
  const random = new Random(20_261_125);
  const strings = new Set<string>();
  while (strings.size < count) {
    const pieces = Array.from({ length: 1 + random.below(12) }, () => {
      const piece = random.pick(PIECES);
      return typeof piece === "string" ? piece : piece(random);
    });
    strings.add(pieces.join(""));
  }
  return [...strings];
}
