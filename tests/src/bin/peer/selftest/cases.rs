//! The cases.

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
}

impl Case {
    fn client(name: &str, description: &str, client: &str, server: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            commands: vec![words(&format!("peer client {client} -- {server}"))],
            late: false,
            exit: Exit::Ok,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::client("pipe", "the plain case", "", "peer server"),
        Case::client("socketpair", "as Node does", "--transport socketpair", "peer server"),
        Case::client("one-8m", "one argument of 8 MiB", "--tool sink --size 8388608 --calls 1", "peer server"),
    ]
}
