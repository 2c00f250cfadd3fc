package main

import "strconv"

// What every peer, in every language, says. `tests/peers/README.md` is the contract.
const (
	documentURI  = "test://doc"
	documentText = "a document"
)

// numbers is `0 1 2 3 ...` cut to size bytes: deterministic, never periodic, and the same in every language.
func numbers(size int) string {
	text := make([]byte, 0, size+16)
	for number := 0; len(text) < size; number++ {
		if number > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendInt(text, int64(number), 10)
	}
	return string(text[:size])
}
