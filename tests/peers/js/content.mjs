// What every peer, in every language, says. `tests/peers/README.md` is the contract.
export const DOCUMENT_URI = 'test://doc';
export const DOCUMENT_TEXT = 'a document';

/** `0 1 2 3 ...` cut to `size` bytes: deterministic, never periodic, and the same in every language. */
export function numbers(size) {
  const parts = [];
  for (let number = 0, length = 0; length < size; number++) {
    const part = String(number);
    parts.push(part);
    length += part.length + 1;
  }
  return parts.join(' ').slice(0, size);
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
