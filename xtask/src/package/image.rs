//! An OCI image layout, written as the few files that it is: one layer, its configuration, a manifest, an index.
//!
//! Everything in it follows from the program alone (no times, no names of the machine), so that the same program gives the same
//! digest.

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};
use oci_spec::image::{
    Arch as OciArch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder,
    MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;
use tar::{Builder, EntryType, Header};

use crate::libraries;

/// Whom the collector runs as: nobody that owns anything.
const UNPRIVILEGED: &str = "65532:65532";
/// The reference that tools show for the image.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// What an image is made of.
pub struct Image {
    /// The program's name.
    pub name: &'static str,
    arguments: &'static [&'static str],
    user: &'static str,
    ports: &'static [&'static str],
}

impl Image {
    /// The sensor's.
    pub const fn sensor() -> Self {
        // The kernel gives capabilities to root alone, unless the runtime passes them on, which Kubernetes does not.
        Self { name: crate::workspace::SENSOR_BIN, arguments: &["run"], user: "0:0", ports: &[] }
    }

    /// The collector's.
    pub const fn collector() -> Self {
        Self { name: crate::workspace::COLLECTOR_BIN, arguments: &["serve"], user: UNPRIVILEGED, ports: &["4780/tcp"] }
    }

    /// Writes the layout and gives the manifest's digest.
    ///
    /// # Errors
    /// When the program cannot be read, or the layout not be written.
    pub fn write(&self, program: &Path, layout: &Path) -> Result<String> {
        let blobs = layout.join("blobs").join("sha256");
        fs::create_dir_all(&blobs)?;
        let tar = self.layer(program)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut encoder, &tar)?;
        let layer = blob(&blobs, MediaType::ImageLayerGzip, &encoder.finish()?)?;

        let process = ConfigBuilder::default()
            .entrypoint(vec![format!("/usr/bin/{}", self.name)])
            .cmd(self.arguments.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
            .user(self.user)
            .working_dir("/")
            .exposed_ports(self.ports.iter().map(|&port| port.to_owned()).collect::<Vec<_>>())
            .labels(HashMap::from([
                ("org.opencontainers.image.title".to_owned(), self.name.to_owned()),
                ("org.opencontainers.image.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("org.opencontainers.image.licenses".to_owned(), "Apache-2.0".to_owned()),
            ]))
            .build()?;
        let architecture = if cfg!(target_arch = "aarch64") { OciArch::ARM64 } else { OciArch::Amd64 };
        let configuration = ImageConfigurationBuilder::default()
            .architecture(architecture)
            .os(Os::Linux)
            .config(process)
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(vec![format!("sha256:{}", hex(&tar))]).build()?)
            .history(Vec::new())
            .build()?;
        let configuration = blob(&blobs, MediaType::ImageConfig, &sorted(&configuration)?)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(configuration)
            .layers(vec![layer])
            .build()?;
        let mut manifest = blob(&blobs, MediaType::ImageManifest, &sorted(&manifest)?)?;
        let digest = manifest.digest().to_string();
        let reference = format!("{}:{}", self.name, env!("CARGO_PKG_VERSION"));
        manifest.set_annotations(Some(HashMap::from([(REFERENCE.to_owned(), reference)])));
        let index =
            ImageIndexBuilder::default().schema_version(2u32).media_type(MediaType::ImageIndex).manifests(vec![manifest]).build()?;
        fs::write(layout.join("index.json"), sorted(&index)?)?;
        fs::write(layout.join("oci-layout"), sorted(&OciLayoutBuilder::default().image_layout_version("1.0.0").build()?)?)?;
        Ok(digest)
    }

    /// The root file system.
    fn layer(&self, program: &Path) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        let libraries = libraries::of(program)?;
        let folders = ["dev", "etc", "etc/mcp-sensor", "proc", "run", "sys", "tmp", "usr", "usr/bin", "var", "var/lib"];
        for folder in folders {
            entry(&mut tar, folder, EntryType::Directory, if folder == "tmp" { 0o1777 } else { 0o755 }, &[])?;
        }
        let users = "root:x:0:0:root:/:/sbin/nologin\nmcp-collector:x:65532:65532:MCP collector:/:/sbin/nologin\n";
        entry(&mut tar, "etc/passwd", EntryType::Regular, 0o644, users.as_bytes())?;
        entry(&mut tar, "etc/group", EntryType::Regular, 0o644, b"root:x:0:\nmcp-collector:x:65532:\n")?;
        entry(&mut tar, &format!("usr/bin/{}", self.name), EntryType::Regular, 0o755, &fs::read(program)?)?;
        for library in libraries {
            let bytes = fs::read(&library).with_context(|| format!("reading {}", library.display()))?;
            entry(&mut tar, library.to_string_lossy().trim_start_matches('/'), EntryType::Regular, 0o755, &bytes)?;
        }
        Ok(tar.into_inner()?)
    }
}

fn entry(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).with_context(|| format!("packing {path}"))
}

/// Writes a blob under its digest.
fn blob(blobs: &Path, kind: MediaType, bytes: &[u8]) -> Result<Descriptor> {
    let digest = hex(bytes);
    fs::write(blobs.join(&digest), bytes)?;
    Ok(DescriptorBuilder::default().media_type(kind).digest(Sha256Digest::from_str(&digest)?).size(bytes.len() as u64).build()?)
}

/// As JSON with the keys in order: maps of the crate's types have none, and the digest must not depend on it.
fn sorted(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_gives_the_same_image() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let program = std::env::current_exe()?;
        let first = Image::sensor().write(&program, &folder.path().join("first"))?;
        let second = Image::sensor().write(&program, &folder.path().join("second"))?;
        assert_eq!(first, second);
        Ok(())
    }
}
