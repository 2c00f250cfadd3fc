//! The test server and the test client on the Rust SDK (both eras).

mod client;
mod content;
mod scenarios;
mod server;
mod truth;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("server") => server::serve(&arguments[1..]).await,
        Some("client") => client::run(&arguments[1..]).await,
        _ => {
            eprintln!("usage: peer server [--pipes] | peer client [OPTIONS] -- SERVER COMMAND");
            ExitCode::from(2)
        }
    }
}
