//! The image layouts.

use super::{
    container::{Container, Spec},
    package::{package, root_file_system},
    process::{command, output},
};
use end_to_end::truth::sha256_hex;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// The file of what a descriptor names, whose size and digest are as it says.
pub fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("a digest").strip_prefix("sha256:").expect("of SHA-256");
    let path = layout.join("blobs/sha256").join(digest);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(sha256_hex(&bytes), digest, "the blob is another");
    assert_eq!(descriptor["size"], bytes.len());
    path
}

/// The manifest of a layout's only image.
pub fn manifest(layout: &Path) -> Value {
    let index = read(&layout.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    read(&blob(layout, &index["manifests"][0]))
}

#[test]
fn an_image_is_whole_and_every_digest_is_right() {
    for (name, user) in [("mcp-sensor", "0:0"), ("mcp-collector", "65532:65532")] {
        let layout = package().join("image").join(name);
        assert_eq!(read(&layout.join("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
        let manifest = manifest(&layout);
        let configuration = read(&blob(&layout, &manifest["config"]));
        assert_eq!(configuration["config"]["User"], user);
        assert_eq!(configuration["config"]["Entrypoint"], json!([format!("/usr/bin/{name}")]));
        let layers = manifest["layers"].as_array().unwrap();
        let unpacked: Vec<String> = layers
            .iter()
            .map(|layer| {
                let tar = command("gzip").arg("-dc").arg(blob(&layout, layer)).output().unwrap();
                format!("sha256:{}", sha256_hex(&tar.stdout))
            })
            .collect();
        assert_eq!(configuration["rootfs"]["diff_ids"], json!(unpacked), "the layers unpack to something else");
    }
}

#[test]
fn the_program_of_an_image_runs_from_its_own_file_system() {
    for name in ["mcp-sensor", "mcp-collector"] {
        let root = root_file_system(name);
        let mut spec = Spec::new(root.path());
        spec.arguments(&[&format!("/usr/bin/{name}"), "--version"]);
        let mut container = Container::create(&spec);
        let said = output(&mut container.run_command());
        assert_eq!(said.trim(), format!("{name} {}", env!("CARGO_PKG_VERSION")));
    }
}
