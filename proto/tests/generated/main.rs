//! The committed code is what the proto files say, and the proto files only ever grow.
//!
//! `UPDATE_PROTO=1` makes what is committed anew, and refuses where a consumer would break.

#![allow(clippy::expect_used, reason = "a test that cannot be set up fails")]

mod contract;

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use self::contract::Contract;

const CODE: &str = "src/generated/mcp_sensor.v1.rs";
const DESCRIPTOR: &str = "descriptor.bin";
const CONTRACT: &str = "tests/generated/contract.txt";

/// The proto files, in the order of their names.
fn proto_files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root.join("mcp_sensor/v1"))
        .expect("the directory of proto files can be read")
        .map(|entry| entry.expect("a directory entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "proto"))
        .collect();
    files.sort();
    files
}

/// What is to be committed, as name and content, and the contract among it.
fn generate(root: &Path) -> (Vec<(&'static str, Vec<u8>)>, Contract) {
    let mut compiler = protox::Compiler::new([root]).expect("the include path exists");
    compiler.include_imports(true);
    compiler.open_files(proto_files(root)).expect("the proto files are valid");

    compiler.include_source_info(false);
    let descriptor = compiler.encode_file_descriptor_set();

    compiler.include_source_info(true);
    let with_comments =
        FileDescriptorSet::decode(compiler.encode_file_descriptor_set().as_slice()).expect("the compiler writes valid descriptors");
    let out = tempfile::tempdir().expect("a temporary directory can be made");
    // Without the clients' own `connect`: the rpc `Connect` has that name. `Client::new(channel)` is the way.
    tonic_prost_build::configure().build_transport(false).out_dir(out.path()).compile_fds(with_comments).expect("code can be generated");
    let code = fs::read(out.path().join("mcp_sensor.v1.rs")).expect("code was generated");
    let contract = Contract::of(&FileDescriptorSet::decode(descriptor.as_slice()).expect("the compiler writes valid descriptors"));
    (vec![(CODE, code), (DESCRIPTOR, descriptor), (CONTRACT, contract.text().into_bytes())], contract)
}

#[test]
fn the_committed_code_is_made_from_the_proto_files_and_these_only_grow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let update = std::env::var_os("UPDATE_PROTO").is_some();
    let (files, contract) = generate(root);
    let released = Contract::parse(&fs::read_to_string(root.join(CONTRACT)).expect("the contract is committed"));
    let broken = released.broken_by(&contract);
    // Also where everything is to be made anew: nothing is written then.
    assert!(
        broken.is_empty(),
        "consumers of the released contract would break; add new fields, values or methods beside the old ones:\n{}",
        broken.join("\n")
    );
    for (name, content) in files {
        let path = root.join(name);
        if update {
            fs::write(&path, content).expect("the file can be written");
        } else {
            let committed = fs::read(&path).unwrap_or_default();
            assert!(
                committed == content,
                "{name} is stale: run `UPDATE_PROTO=1 cargo test -p mcp-sensor-proto --test generated` and commit the result"
            );
        }
    }
}
