//! The package of the programs under test, made once for all tests by the command that makes the real one.

use super::process::{command, output};
use end_to_end::harness::{beside, tests_folder};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tempfile::TempDir;

/// The repository.
pub fn repository() -> &'static Path {
    tests_folder().parent().expect("the workspace")
}

/// The package's folder.
pub fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let target = beside("deploy-package");
        let programs = beside("mcp-sensor");
        let programs = programs.parent().expect("its folder");
        for program in ["mcp-sensor", "mcp-collector", "peer"] {
            assert!(programs.join(program).exists(), "{program} is not built: cargo build -p sensor-user -p collector -p end-to-end");
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut make = command(cargo);
        make.current_dir(repository()).args(["run", "--quiet", "--package", "xtask", "--", "package", "--programs"]);
        output(make.arg(programs).arg("--output").arg(&target));
        target
    })
}

/// The root file system of an image of the package, unpacked.
pub fn root_file_system(image: &str) -> TempDir {
    let layout = package().join("image").join(image);
    let manifest = super::images::manifest(&layout);
    let folder = tempfile::tempdir().expect("a folder");
    for layer in manifest["layers"].as_array().expect("layers") {
        let blob = super::images::blob(&layout, layer);
        output(command("tar").arg("-xzpf").arg(blob).arg("-C").arg(folder.path()));
    }
    folder
}
