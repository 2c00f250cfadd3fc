package peer;

import io.modelcontextprotocol.json.McpJsonDefaults;
import io.modelcontextprotocol.json.McpJsonMapper;
import java.io.ByteArrayOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The truth log: every MCP message that crosses the wire of this process, taken at the byte layer.
 *
 * <p>Nothing is re-serialised: the bytes that the SDK writes to a stream or reads from one are cut at line feeds and hashed. Each call of
 * the SDK reaches the same method of the same stream as without the log. Appends to {@code $TRUTH_DIR/<role>-<peer>-<pid>.jsonl}, one
 * write a line; without {@code TRUTH_DIR} it does nothing.
 */
final class TruthLog {
    private final McpJsonMapper mapper = McpJsonDefaults.getMapper();
    private final Map<String, Object> common = new LinkedHashMap<>();
    private final String session = System.getenv().getOrDefault("TRUTH_SESSION", "");
    private final FileOutputStream file;

    TruthLog(String role, String[] arguments) throws IOException {
        String peer = System.getenv().getOrDefault("MCP_PEER_NAME", "java");
        String directory = System.getenv().getOrDefault("TRUTH_DIR", "");
        long pid = ProcessHandle.current().pid();
        common.put("role", role);
        common.put("peer", peer);
        common.put("pid", pid);
        file = directory.isEmpty() ? null : new FileOutputStream(directory + "/" + role + "-" + peer + "-" + pid + ".jsonl", true);
        Map<String, Object> entry = new LinkedHashMap<>(common);
        entry.put("start", true);
        entry.put("argv", List.of(arguments));
        entry.put("session", session);
        line(entry);
    }

    void end() {
        line(Map.of("end", true));
    }

    /** The stream with the log over it; {@code atEnd} runs once there is nothing more to read. */
    InputStream reads(InputStream inner, Runnable atEnd) {
        Splitter splitter = new Splitter("received");
        return new InputStream() {
            @Override
            public int read() throws IOException {
                int value = inner.read();
                if (value >= 0) {
                    splitter.feed(new byte[] {(byte) value}, 0, 1);
                } else {
                    atEnd.run();
                }
                return value;
            }

            @Override
            public int read(byte[] buffer, int offset, int length) throws IOException {
                int count = inner.read(buffer, offset, length);
                if (count > 0) {
                    splitter.feed(buffer, offset, count);
                } else if (count < 0) {
                    atEnd.run();
                }
                return count;
            }

            @Override
            public int available() throws IOException {
                return inner.available();
            }

            @Override
            public void close() throws IOException {
                inner.close();
            }
        };
    }

    OutputStream writes(OutputStream inner) {
        Splitter splitter = new Splitter("sent");
        return new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                inner.write(value);
                splitter.feed(new byte[] {(byte) value}, 0, 1);
            }

            @Override
            public void write(byte[] data) throws IOException {
                inner.write(data);
                splitter.feed(data, 0, data.length);
            }

            @Override
            public void write(byte[] data, int offset, int length) throws IOException {
                inner.write(data, offset, length);
                splitter.feed(data, offset, length);
            }

            @Override
            public void flush() throws IOException {
                inner.flush();
            }

            @Override
            public void close() throws IOException {
                inner.close();
            }
        };
    }

    private void message(String direction, byte[] line) {
        byte[] text = new String(line, StandardCharsets.ISO_8859_1).strip().getBytes(StandardCharsets.ISO_8859_1);
        if (file == null || text.length == 0) {
            return;
        }
        Map<String, Object> entry = new LinkedHashMap<>(common);
        entry.put("direction", direction);
        entry.put("size", text.length);
        entry.put("sha256", sha256(text));
        entry.put("session", session);
        Map<?, ?> value = Map.of();
        try {
            value = mapper.readValue(text, Map.class);
        } catch (IOException | RuntimeException notJson) {
            entry.put("invalid", true);
        }
        entry.put("method", value.get("method"));
        if (value.containsKey("id")) {
            entry.put("id", value.get("id"));
        }
        line(entry);
    }

    private synchronized void line(Map<String, Object> entry) {
        if (file == null) {
            return;
        }
        try {
            file.write((mapper.writeValueAsString(entry) + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static String sha256(byte[] text) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Collects one direction's bytes until a line is whole. */
    private final class Splitter {
        private final String direction;
        private final ByteArrayOutputStream rest = new ByteArrayOutputStream();

        Splitter(String direction) {
            this.direction = direction;
        }

        synchronized void feed(byte[] data, int offset, int length) {
            int start = offset;
            for (int at = offset; at < offset + length; at++) {
                if (data[at] == '\n') {
                    rest.write(data, start, at - start);
                    message(direction, rest.toByteArray());
                    rest.reset();
                    start = at + 1;
                }
            }
            rest.write(data, start, offset + length - start);
        }
    }
}
