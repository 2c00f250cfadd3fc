//! Puts the built kernel programs where the loader embeds them from: the committed object of this architecture, or the
//! one that `SENSOR_BPF_OBJ` names (how `cargo xtask` tests an object that it has just rebuilt).

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), String> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| error.to_string())?;
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("sensor.bpf.o");
    println!("cargo::rerun-if-env-changed=SENSOR_BPF_OBJ");
    let object = env::var_os("SENSOR_BPF_OBJ")
        .map_or_else(|| PathBuf::from(format!("../sensor-ebpf/dist/{architecture}/sensor.bpf.o")), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    fs::copy(&object, &output).map_err(|error| {
        format!(
            "copying the kernel programs from {}: {error}. `cargo xtask ebpf build` makes them; x86_64 and aarch64 are \
             supported",
            object.display()
        )
    })?;
    Ok(())
}
