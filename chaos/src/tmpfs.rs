//! A small file system of its own, which can really be full.
//!
//! It takes the right to mount. It must never be left behind.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// Mounts one of so many mebibytes at `at`, an empty directory; the error says why that is not possible here.
    pub fn mount(at: &Path, size_mib: u32) -> Result<Tmpfs, String> {
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "tmpfs"])
            .arg(at)
            .output()
            .map_err(|error| format!("mount: {error}"))?;
        match output.status.success() {
            true => Ok(Tmpfs { at: at.into() }),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        }
    }

    /// Takes all of it but so many bytes, or a page less.
    pub fn fill_but(&self, free_bytes: u64) -> Result<(), String> {
        self.fill()?;
        let fail = |error: std::io::Error| format!("{}: {error}", self.ballast().display());
        let file = File::options().write(true).open(self.ballast()).map_err(fail)?;
        let taken = file.metadata().map_err(fail)?.len();
        file.set_len(taken.saturating_sub(free_bytes)).map_err(fail)
    }

    /// Takes every last byte of it.
    pub fn fill(&self) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("filling {}: {error}", self.at.display());
        let mut file = File::create(self.ballast()).map_err(fail)?;
        let mut chunk = &[0; 1 << 20][..];
        loop {
            match file.write(chunk) {
                Ok(_) => {}
                // The last page is filled in smaller steps.
                Err(error) if error.kind() == ErrorKind::StorageFull && chunk.len() > 1 => {
                    chunk = &chunk[..chunk.len() / 2]
                }
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(fail(error)),
            }
        }
    }

    /// Gives back what [`Tmpfs::fill`] took.
    pub fn empty(&self) -> Result<(), String> {
        std::fs::remove_file(self.ballast()).map_err(|error| format!("{}: {error}", self.ballast().display()))
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a server that is on its way out may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
