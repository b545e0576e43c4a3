//! Lets the programs say what they were built of: the versions of tokio and of the compiler.

use std::{env, fs, process::Command};

/// The version that the lock file gives for a package.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_string())
}

fn compiler_version() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let tokio = locked_version(&lock, "tokio").unwrap_or_else(|| "unknown".to_string());
    let compiler = compiler_version().unwrap_or_else(|| "rustc unknown".to_string());
    println!("cargo:rustc-env=PEER_VERSIONS=tokio {tokio}, {compiler}");
}
