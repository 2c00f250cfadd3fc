//! A collector with a sensor that sends to it, in a network of its own.

use super::{
    container::Network,
    process::{Lines, command, output, wait_for},
};
use end_to_end::harness::beside;
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Where it listens, in its network.
pub const ADDRESS: &str = "127.0.0.1:4780";

/// Where `tests/peers/setup` puts the programs of others.
pub fn peers() -> PathBuf {
    std::env::var_os("MCP_PEERS_DIR").map_or_else(|| "/var/cache/mcp-sensor-peers".into(), PathBuf::from)
}

/// Both, and their tokens.
pub struct Collector {
    network: Network,
    folder: TempDir,
    programs: Vec<Child>,
}

impl Collector {
    /// Starts both, and waits until the sensor captures.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for reader in ["sensor", "reader"] {
            std::fs::write(folder.path().join(reader), format!("token-of-the-{reader}\n")).unwrap();
        }
        let mut this = Self { network: Network::new(), folder, programs: Vec::new() };
        let mut serve = this.enter(&beside("mcp-collector").to_string_lossy());
        serve.args(["serve", "--listen", ADDRESS, "--directory"]).arg(this.folder.path().join("events"));
        serve.arg("--sensor-token-file").arg(this.token("sensor")).arg("--reader-token-file").arg(this.token("reader"));
        this.programs.push(serve.stderr(Stdio::null()).spawn().unwrap());
        wait_for("the collector", || this.query(&["sensors", "--json"]));

        let mut run = this.enter(&beside("mcp-sensor").to_string_lossy());
        run.args(["run", "--collector", &format!("http://{ADDRESS}"), "--token-file"]).arg(this.token("sensor"));
        this.programs.push(run.stderr(Stdio::null()).spawn().unwrap());
        let mut tail = Lines::start(this.client(&["tail", "--json", "--since", "1h"]).stderr(Stdio::null()));
        tail.event("the sensor captures", |event| event["sensor"]["state"] == "READY");
        drop(tail);
        wait_for("nobody subscribes", || (this.subscribers() == 0).then_some(()));
        this
    }

    /// How many subscribe.
    pub fn subscribers(&self) -> u64 {
        let about = output(self.grpcurl().args([ADDRESS, "mcp_sensor.v1.CollectorService/ListSensors"]));
        let about: Value = serde_json::from_str(&about).unwrap();
        about["collector"]["subscribers"].as_u64().unwrap_or(0)
    }

    /// A client that knows what the collector tells of its services, and no more.
    pub fn grpcurl(&self) -> Command {
        let token = std::fs::read_to_string(self.token("reader")).unwrap();
        let mut grpcurl = self.enter(&peers().join("bin/grpcurl").to_string_lossy());
        grpcurl.args(["-plaintext", "-H", &format!("authorization: Bearer {}", token.trim())]);
        grpcurl
    }

    /// A command in its network.
    pub fn enter(&self, program: &str) -> Command {
        self.network.enter(program)
    }

    pub fn token(&self, reader: &str) -> PathBuf {
        self.folder.path().join(reader)
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut client = self.enter(&beside("mcp-collector").to_string_lossy());
        client.args(words).args(["--address", ADDRESS, "--token-file"]).arg(self.token("reader"));
        client
    }

    fn query(&self, words: &[&str]) -> Option<String> {
        let output = self.client(words).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// A client calls a tool of a server.
pub fn call_tools() {
    output(command(beside("peer")).args(["client", "--tool", "echo", "--calls", "2", "--linger-ms", "500", "--", "peer", "server"]));
}
