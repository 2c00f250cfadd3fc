package peer;

/** What every peer, in every language, says. {@code tests/peers/README.md} is the contract. */
final class Content {
    static final String DOCUMENT_URI = "test://doc";
    static final String DOCUMENT_TEXT = "a document";

    private Content() {}

    /** {@code 0 1 2 3 ...} cut to {@code size} bytes: deterministic, never periodic, and the same in every language. */
    static String numbers(int size) {
        StringBuilder text = new StringBuilder(size + 16);
        for (int number = 0; text.length() < size; number++) {
            if (number > 0) {
                text.append(' ');
            }
            text.append(number);
        }
        text.setLength(size);
        return text.toString();
    }
}
