//! What stands in `deploy/`, run for real: the units under systemd, the manifests' containers in runc, clients that nobody here
//! wrote. See `deploy/README.md`, whose commands these tests run.
//!
//! All of it needs root, runc, systemd and util-linux: `cargo xtask setup --tests` installs what is missing.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: what goes wrong here is a failed test, with the reason"
)]

mod clients;
mod collector;
mod container;
mod images;
mod kubernetes;
mod machine;
mod manifest;
mod package;
mod process;
mod systemd;
