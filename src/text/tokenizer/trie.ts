// This module is browser compatible.

interface Node {
  id: number | null;
  next: Map<string, Node>;
}

/** Texts, each with an id, by what they begin with. A text is a list of characters or a string of UTF-16 code units. */
export class Trie {
  readonly #root: Node = { id: null, next: new Map() };

  add(text: ArrayLike<string>, id: number): void {
    let node = this.#root;
    for (let i = 0; i < text.length; i++) {
      let next = node.next.get(text[i]);
      if (next === undefined) node.next.set(text[i], next = { id: null, next: new Map() });
      node = next;
    }
    node.id = id;
  }

  /** The texts that `text` has from `start` on, from the shortest to the longest. */
  *at(text: ArrayLike<string>, start: number): Generator<{ end: number; id: number }> {
    let node: Node | undefined = this.#root;
    for (let end = start; end < text.length;) {
      node = node.next.get(text[end++]);
      if (node === undefined) return;
      if (node.id !== null) yield { end, id: node.id };
    }
  }
}
