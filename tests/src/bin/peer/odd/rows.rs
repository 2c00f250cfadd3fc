//! The rows.

/// One odd input.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    /// Where it is described: `3.4` of `mcp-on-the-wire.md`, or a number of `failure-cases.md`.
    pub source: &'static str,
    pub description: &'static str,
    pub play: Play,
    /// Waits for `$GATE`: for what begins before the sensor does.
    pub gate: bool,
    /// How long it takes, about.
    pub seconds: u32,
}

/// How it is played.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    /// A client with these flags, and this server command.
    Pair {
        client: &'static str,
        server: &'static str,
    },
    /// The same, the client under this process name.
    Named {
        name: &'static str,
        client: &'static str,
        server: &'static str,
    },
    /// A plain session while so many other streams are open.
    Crowded {
        count: usize,
        sockets: bool,
    },
    /// Two clients at the same time.
    Twice {
        client: &'static str,
        server: &'static str,
    },
    LanguageServer,
}

const fn row(name: &'static str, source: &'static str, description: &'static str, client: &'static str, server: &'static str) -> Row {
    Row { name, source, description, play: Play::Pair { client, server }, gate: false, seconds: 1 }
}

const fn special(name: &'static str, source: &'static str, description: &'static str, play: Play) -> Row {
    Row { name, source, description, play, gate: false, seconds: 1 }
}

const fn long(row: Row, seconds: u32) -> Row {
    Row { seconds, ..row }
}

const fn gated(row: Row) -> Row {
    Row { gate: true, ..row }
}

const PLAIN: &str = "peer server";
const BIG_NONBLOCKING: &str = "--nonblock --size 100000";

/// All rows.
pub const ROWS: &[Row] = &[
    row("lf", "3.4", "one line each, LF", "--calls 24", PLAIN),
    row("crlf", "3.4", "CR LF behind each line", "--shape crlf", "peer server --shape crlf"),
    row("leading", "3.4", "spaces and tabs before the value", "--shape leading", "peer server --shape leading"),
    row("stringid", "3.4", "ids are strings", "--shape stringid", PLAIN),
    row("escaped", "3.4", "method and its value written with escapes", "--shape escaped", PLAIN),
    row("dupkey", "3.4", "`method` or `result` twice, the last one counts", "--shape dupkey", "peer server --shape dupkey"),
    row("cr", "3.4", "two messages in a write, CR alone between and behind", "--shape cr", "peer server --shape cr"),
    row("pretty", "3.4", "a message over several lines", "--shape pretty", "peer server --shape pretty"),
    row("nonewline", "3.4", "no line end, and the stream stays open", "--shape nonewline", "peer server --shape nonewline"),
    row("bom", "3.4", "a byte order mark before the value", "--shape bom", "peer server --shape bom"),
    row("twovalues", "3.4", "two values on a line", "--shape twovalues", "peer server --shape twovalues"),
    row("nospace", "3.4", "two values with nothing between", "--shape nospace", "peer server --shape nospace"),
    row("id70", "3.4", "\"id\":7.0", "--shape id70", PLAIN),
    row("idnull", "3.4", "\"id\":null: no server answers; may be reported", "--shape idnull", PLAIN),
    row("nojsonrpc", "3.4", "no jsonrpc member: no server answers; may be reported", "--shape nojsonrpc", PLAIN),
    row("methodcase", "3.4", "\"Method\": no message", "--shape methodcase", PLAIN),
    row("trailingcomma", "3.4", "a comma before the last bracket: no JSON", "--shape trailingcomma", PLAIN),
    row("nan", "3.4", "NaN: no JSON", "--shape nan", PLAIN),
    row("badutf8", "3.4", "bytes in a string that are no UTF-8", "--shape badutf8", "peer server --shape badutf8"),
    row("batch", "3.4", "an array of messages", "--shape batch", "peer server --shape batch"),
    row("within", "3.4", "a message on a line of its own inside another of several lines", "--shape within", "peer server --strict-lines"),
    row("noinit", "3.4", "a call first, no initialize", "--handshake none", PLAIN),
    row("discover", "3.4", "2026-07-28: server/discover, and _meta in each call", "--handshake discover", PLAIN),
    row("f3", "F3", "a message in two writes, a prompt reader", "--split 2 --prompt", "peer server --split 2 --prompt"),
    row(
        "f3sockets",
        "F3",
        "the same on a socket pair, in seven pieces",
        "--split 7 --prompt --transport socketpair",
        "peer server --split 7 --prompt",
    ),
    row("f4", "F4", "100 KB through a pipe that does not block", BIG_NONBLOCKING, "peer server --nonblock"),
    row("f5", "F5", "a Python dictionary and other junk on the server's stdout", "", "peer server --shape junkbefore"),
    row("f6", "F6", "a line of text behind the message in the same write", "--shape junkbehind", "peer server --shape junkbehind"),
    long(row("f7", "F7", "a tool that takes 6 s", "--tool slow --slow-ms 6000 --calls 1", PLAIN), 7),
    special(
        "f8",
        "F8",
        "client and server are named as the sensor is",
        Play::Named { name: "mcp-sensor", client: "", server: "peer rename mcp-sensor -- server" },
    ),
    special("f9", "F9", "1,100 pipes with eleven bytes each stay open", Play::Crowded { count: 1100, sockets: false }),
    special("f10", "F10", "2,200 unix sockets likewise", Play::Crowded { count: 1100, sockets: true }),
    row("f13", "F13", "a burst of 1,000 calls", "--tool echo --size 20 --calls 1000 --concurrency 500", PLAIN),
    row(
        "f15",
        "F15",
        "send and recv on a socket pair",
        "--transport socketpair --write-with sendto --read-with recvfrom",
        "peer server --write-with sendto --read-with recvfrom",
    ),
    row(
        "f16",
        "F16",
        "sendmsg with read, write with recv",
        "--transport socketpair --write-with sendmsg --read-with recvfrom",
        "peer server --write-with write --read-with read",
    ),
    row(
        "f17",
        "F17",
        "writev and readv only",
        "--write-with writev --read-with readv --iov many",
        "peer server --write-with writev --read-with readv --iov many",
    ),
    row("f18", "F18", "a relay that splices", "", "peer relay --with splice -- peer server"),
    row("f18tee", "F18", "a relay that tees", "", "peer relay --with tee -- peer server"),
    row("f19", "F19", "io_uring", "--write-with io_uring --read-with io_uring", "peer server --write-with io_uring --read-with io_uring"),
    row("f20", "F20", "a pseudo-terminal", "--transport pty", PLAIN),
    row("f20cooked", "F20", "a pseudo-terminal with echo and line editing", "--transport pty-cooked", "peer server --strict-lines"),
    row(
        "f20cut",
        "F20",
        "lines of 6,000 bytes, which a cooked terminal cuts",
        "--transport pty-cooked --cut --calls 2 --tool echo --size 6000",
        "peer server --strict-lines",
    ),
    row("f20packets", "F20", "SOCK_SEQPACKET", "--transport seqpacket", PLAIN),
    row("f21", "F21", "200 KB in a write", "--size 200000", PLAIN),
    row("f22", "F22", "a batch (as `batch`)", "--shape batch --calls 2", PLAIN),
    row("f23", "F23", "nine empty lines before the value", "--shape blanklines", "peer server --shape blanklines"),
    special("f24", "F24", "two sessions say the same bytes at the same time", Play::Twice { client: "--calls 30", server: PLAIN }),
    row("f25", "F25", "methods that no revision knows", "--tool unknown", PLAIN),
    gated(row("f26", "F26", "idle in read() when the sensor attaches", "--calls 12", PLAIN)),
    gated(row("f26half", "F26", "half a message written when the sensor attaches", "--half-before-gate", PLAIN)),
    long(
        row(
            "f27",
            "F27",
            "80 sessions, client and server on two processors",
            "--sessions 80 --calls 1 --tool echo --processor 0",
            "peer server --processor 1",
        ),
        4,
    ),
    long(row("f28", "F28", "a file with the pipe's inode number is unlinked", "--unlink-twins", PLAIN), 10),
    row("f29", "F29", "four forked workers share stdin and stdout", "--tool echo --calls 20", "peer prefork --workers 4"),
    row("f35", "F35", "eight live sessions of one client with the same ids", "--parallel 8", PLAIN),
    row("f36", "F36", "one client opens twenty servers one after another", "--sessions 20 --calls 3", PLAIN),
    row("f37", "F37", "a unix socket is handed to a forked worker", "--transport unix --pass-listener", "peer handoff"),
    row("f37tcp", "F37", "the same with TCP, and a request before the accept", "--transport tcp4 --pass-listener --early", "peer handoff"),
    row("f38", "F38", "a byte relay", "", "peer relay -- peer server"),
    row(
        "f38twice",
        "F38",
        "two byte relays, one of them on a socket pair",
        "--transport socketpair",
        "peer relay -- peer relay --transport socketpair -- peer server",
    ),
    row(
        "f38launcher",
        "F38",
        "launchers between, which move nothing",
        "--transport socketpair",
        "peer launcher -- peer launcher -- peer server",
    ),
    long(row("f39", "F39", "the reader lags by 2.5 s", "--tool echo --calls 7 --concurrency 7", "peer server --lag-ms 2500"), 9),
    special("f40", "F40", "a language server: no MCP", Play::LanguageServer),
    row("f41", "F41", "400 round trips, as fast as they go", "--transport socketpair --tool echo --size 10 --calls 400", PLAIN),
    // Each writes its 30 MB in one call, of which the sensor captures 16 MiB: 13,222,786 and 13,222,849 bytes are told as lost, OVER_LIMIT,
    // by whoever runs both (26,445,635 in all). No message is among them.
    row("f44", "F44", "30 MB without a line end, then calls", "--noise 30000000", PLAIN),
    row("f44open", "F44", "30 MB of a message that never ends, then calls", "--noise 30000000 --open-noise", PLAIN),
    row("f45", "F45", "a session that begins the moment the sensor is ready", "--calls 1 --tool echo", PLAIN),
];
