//! The cases.

use crate::odd::ROWS;

/// How a case's first process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    Ok,
    Killed,
}

/// One case: processes that run at the same time, and the sensor must tell all of their messages.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub description: String,
    pub commands: Vec<Vec<String>>,
    /// Started before the sensor, and held at a gate until it is ready.
    pub late: bool,
    pub exit: Exit,
    /// No end of the streams can be read. The sensor must say that bytes moved unseen.
    pub unseeable: bool,
}

impl Case {
    fn new(name: &str, description: &str, command: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            commands: vec![words(command)],
            late: false,
            exit: Exit::Ok,
            unseeable: false,
        }
    }

    fn client(name: &str, description: &str, client: &str, server: &str) -> Self {
        Self::new(name, description, &format!("peer client {client} -- {server}"))
    }

    fn late(self) -> Self {
        Self { late: true, ..self }
    }

    fn killed(self) -> Self {
        Self { exit: Exit::Killed, ..self }
    }

    fn unseeable(self) -> Self {
        Self { unseeable: true, ..self }
    }

    fn times(mut self, count: usize) -> Self {
        self.commands = vec![self.commands.concat(); count];
        self
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Transport, and the calls of client and server: (transport, client writes, client reads, server writes, server reads). No stream has calls without a
/// buffer at both ends: those bytes nobody can see (see `unseeable`).
const MATRIX: &[(&str, &str, &str, &str, &str)] = &[
    ("pipe", "write", "read", "write", "read"),
    ("pipe", "writev", "readv", "pwritev2", "preadv2"),
    ("pipe", "pwritev", "preadv2", "writev", "readv"),
    ("pipe", "splice", "splice", "write", "read"),
    ("pipe", "write", "splice", "write", "splice"),
    ("pipe", "vmsplice", "read", "sendfile", "read"),
    ("pipe", "tee", "read", "splice", "readv"),
    ("pipe", "io_uring", "io_uring", "io_uring_writev", "io_uring_fixed"),
    ("pipe", "io_uring_sqpoll", "read", "io_uring_fixed", "read"),
    ("pipe", "int80_write", "int80_read", "int80_writev", "int80_readv"),
    ("fifo", "write", "read", "writev", "readv"),
    ("socketpair", "write", "read", "writev", "read"),
    ("socketpair", "sendto", "recvfrom", "write", "read"),
    ("socketpair", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"),
    ("socketpair", "splice", "read", "vmsplice", "read"),
    ("socketpair", "write", "splice", "write", "splice"),
    ("socketpair", "sendfile", "peek_then_read", "sendto", "peek_then_read"),
    ("socketpair", "io_uring_send", "io_uring_recv", "io_uring_sendmsg", "io_uring"),
    ("socketpair", "int80_socketcall", "int80_read", "int80_write", "int80_readv"),
    ("seqpacket", "sendto", "recvfrom", "sendmsg", "recvmsg"),
    ("seqpacket", "sendmmsg", "recvmmsg", "write", "read"),
    ("unix", "write", "read", "sendmsg", "recvfrom"),
    ("unix-seqpacket", "write", "read", "sendto", "recvmsg"),
    ("pty", "write", "read", "writev", "readv"),
    ("pty", "io_uring", "read", "write", "io_uring"),
    ("tcp4", "write", "read", "sendto", "recvfrom"),
    ("tcp4", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"),
    ("tcp4", "sendfile", "peek_then_read", "splice", "read"),
    ("tcp4", "write", "splice", "sendto", "splice"),
    ("tcp4", "io_uring_send_zc", "io_uring_recv", "io_uring_sendmsg", "io_uring"),
    ("tcp4", "int80_socketcall", "int80_read", "vmsplice", "read"),
    ("tcp6", "writev", "readv", "write", "read"),
    ("tcp46", "sendto", "recvfrom", "write", "read"),
];

fn matrix() -> impl Iterator<Item = Case> {
    MATRIX.iter().map(|(transport, write, read, server_write, server_read)| {
        let (vectors, server_vectors) = if write.ends_with('v') { ("many", "empty") } else { ("empty", "many") };
        Case::client(
            &format!("{transport}-{write}-{read}-{server_write}-{server_read}").replace("io_uring", "uring").replace("_then_read", ""),
            &format!("{transport}: {write} and {read}, server {server_write} and {server_read}; 300 bytes and 20 KB"),
            &format!("--transport {transport} --write-with {write} --read-with {read} --iov {vectors} --calls 24"),
            &format!("peer server --write-with {server_write} --read-with {server_read} --iov {server_vectors}"),
        )
    })
}

fn big() -> Vec<Case> {
    let all = |name: &str, flags: &str, server: &str| Case::client(name, flags, flags, server);
    vec![
        all("big-20k-mixed", "--size 20000", "peer server"),
        all("big-8m-write", "--tool sink --size 8388608 --calls 1", "peer server"),
        all("big-8m-read", "--tool big --size 8388608 --calls 1", "peer server"),
        all("big-8m-sockets", "--transport socketpair --tool sink --size 8388608 --calls 1", "peer server"),
        all("big-8m-tcp", "--transport tcp4 --tool big --size 8388608 --calls 1 --read-size 1000000", "peer server"),
        all("big-8m-splice", "--tool sink --size 8388608 --calls 1 --write-with splice", "peer server"),
        all("big-8m-uring", "--tool sink --size 8388608 --calls 1 --write-with io_uring", "peer server"),
        all("big-8m-writev", "--tool sink --size 8388608 --calls 1 --write-with writev --iov many", "peer server"),
        all("big-5x8m-nonblock", "--nonblock --tool sink --size 8388608 --calls 5", "peer server"),
        all("big-5x8m-results", "--tool big --size 8388608 --calls 5", "peer server --nonblock"),
        all("big-seqpacket", "--transport seqpacket --size 200000", "peer server"),
    ]
}

fn shapes_of_use() -> Vec<Case> {
    vec![
        Case::client("split-37", "a message in 37 pieces", "--split 37 --transport socketpair", "peer server --split 37"),
        Case::client(
            "split-prompt-tcp",
            "three pieces, each read before the next",
            "--split 3 --prompt --transport tcp4",
            "peer server --split 3 --prompt",
        ),
        Case::client("split-bytes", "each byte a write", "--split 100000 --tool echo --calls 3", "peer server --split 100000"),
        Case::client("tiny-reads", "reads of 7 bytes", "--read-size 7", "peer server --read-size 7"),
        Case::client("coalesce", "eight messages in a write", "--coalesce 8 --tool echo --calls 64", "peer server --coalesce"),
        Case::client(
            "coalesce-mmsg",
            "eight messages in a sendmmsg",
            "--coalesce 8 --tool echo --calls 64 --transport socketpair --write-with sendmmsg",
            "peer server --coalesce --write-with sendmmsg",
        ),
        Case::client("threads", "four threads write one pipe without taking turns", "--threads 4 --tool echo --calls 200", "peer server"),
        Case::client(
            "threads-sockets",
            "the same on a socket pair",
            "--threads 4 --tool echo --calls 200 --transport socketpair",
            "peer server",
        ),
        Case::client("threads-tcp", "the same on TCP", "--threads 4 --tool echo --calls 200 --transport tcp4", "peer server"),
        Case::client("concurrent", "64 calls under way", "--concurrency 64 --calls 192", "peer server"),
        Case::client("ask", "the server asks while it is asked", "--tool ask --calls 10", "peer server"),
        Case::client(
            "trunc",
            "MSG_TRUNC on TCP discards: the writer alone knows",
            "--transport tcp4 --one-way --tool echo",
            "peer server --read-with trunc",
        ),
        Case::client("early-unix", "a request before the connection is accepted", "--transport unix --early", "peer server"),
        Case::client("early-tcp", "the same on TCP", "--transport tcp4 --early", "peer server"),
        Case::client("swap-fd", "another file takes the descriptor's place during a blocked write", "--swap-fd", "peer server"),
        Case::client(
            "nonblock-sockets",
            "100 KB through a socket pair that does not block",
            "--nonblock --size 100000 --transport socketpair",
            "peer server --nonblock",
        ),
        Case::client(
            "relay-tcp",
            "a relay that splices from socket to socket",
            "--transport tcp4",
            "peer relay --with splice --transport socketpair -- peer server",
        ),
        Case::client(
            "prefork-sockets",
            "forked workers share a socket",
            "--transport socketpair --tool echo --calls 20",
            "peer prefork --workers 3",
        ),
        Case::new("short", "clients that live for a moment, three at a time", "peer short -- peer server").times(3),
        Case::new("twenty", "twenty sessions at once", "peer client --calls 24 -- peer server").times(20),
        Case::client("twenty-of-one", "twenty sessions of one client at once", "--parallel 20 --transport socketpair", "peer server"),
        Case::client("kill-server", "the server dies by SIGKILL with a call under way", "--tool echo --kill-server-after 5", "peer server"),
        Case::client("kill-client", "the client does", "--tool echo --kill-self-after 5", "peer server").killed(),
        Case::client(
            "kill-server-sockets",
            "the server does, on a socket pair",
            "--transport socketpair --tool echo --kill-server-after 5",
            "peer server",
        ),
        Case::client("kill-client-tcp", "the client does, on TCP", "--transport tcp4 --tool echo --kill-self-after 5", "peer server")
            .killed(),
        Case::client(
            "unseeable-splice",
            "splice at both ends of both pipes",
            "--unseeable --write-with splice --read-with splice",
            "peer server --unseeable --write-with splice --read-with splice",
        )
        .unseeable(),
        Case::client(
            "unseeable-trunc",
            "sendfile at one end, MSG_TRUNC at the other",
            "--unseeable --transport tcp4 --one-way --write-with sendfile",
            "peer server --read-with trunc",
        )
        .unseeable(),
        Case::client("late", "idle when the sensor attaches", "", "peer server").late(),
        Case::client("late-sockets", "idle on a socket pair when the sensor attaches", "--transport socketpair", "peer server").late(),
        Case::client("late-tcp", "idle on TCP when the sensor attaches", "--transport tcp4", "peer server").late(),
        Case::client("late-pty", "idle on a pseudo-terminal when the sensor attaches", "--transport pty", "peer server").late(),
        Case::client("late-uring", "an io_uring read is pending when the sensor attaches", "", "peer server --read-with io_uring").late(),
        Case::client("late-relay", "a relay is idle in splice when the sensor attaches", "", "peer relay --with splice -- peer server")
            .late(),
    ]
}

/// All of them; those that begin before the sensor first.
pub fn all() -> Vec<Case> {
    let odd = ROWS.iter().map(|row| {
        let case = Case::new(&format!("odd-{}", row.name), row.description, &format!("peer odd {}", row.name));
        if row.gate { case.late() } else { case }
    });
    matrix().chain(big()).chain(shapes_of_use()).chain(odd).collect()
}
