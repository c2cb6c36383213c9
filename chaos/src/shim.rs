//! A disk that hangs or fails by order: a small library, compiled here and preloaded into the server (`shim.c`).
//!
//! It harms what changes files below one directory; reads go on. It must never harm a server unnoticed: one that does
//! not carry the library is found out by [`Disk::is_attached_to`].

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which calls an order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations(u32);

impl Operations {
    /// write, pwrite, writev, fallocate, ftruncate …
    pub const WRITES: Operations = Operations(1);
    /// fsync, fdatasync, sync_file_range …
    pub const SYNCS: Operations = Operations(2);
    /// All of these, and creating, renaming and removing files.
    pub const ALL: Operations = Operations(7);
}

/// What a failing call fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    InputOutput,
    NoSpace,
    ReadOnly,
}

impl Failure {
    /// As Linux numbers it, on every architecture.
    fn errno(self) -> u32 {
        match self {
            Failure::InputOutput => 5,
            Failure::NoSpace => 28,
            Failure::ReadOnly => 30,
        }
    }
}

const SOURCE: &str = include_str!("shim.c");

// The layout of `struct control` in `shim.c`: 32-bit numbers, by their place.
const MODE: u64 = 0;
const FAILING_SYNCS: u64 = 3;
const ATTACHED: u64 = 4;
const HELD: u64 = 5;
const FAILED: u64 = 6;
const FIELDS: u64 = 7;

const PASS: u32 = 0;
const HANG: u32 = 1;
const FAIL: u32 = 2;

/// The disk under one directory. Dropping it lets everything that hangs go on.
pub struct Disk {
    control: File,
    control_path: PathBuf,
    library: PathBuf,
    directory: PathBuf,
}

impl Disk {
    /// Compiles the library into `home`; `directory` is what it will be about. Both must exist.
    pub fn new(home: &Path, directory: &Path) -> Result<Disk, String> {
        let fail = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
        let (source, library, control_path) = (home.join("shim.c"), home.join("shim.so"), home.join("shim.control"));
        std::fs::write(&source, SOURCE).map_err(|error| fail(&source, error))?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| format!("cc, which compiles the failing disk, does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)));
        }
        std::fs::write(&control_path, vec![0; FIELDS as usize * 4]).map_err(|error| fail(&control_path, error))?;
        let control = File::options().read(true).write(true).open(&control_path);
        let control = control.map_err(|error| fail(&control_path, error))?;
        // The kernel tells the library where an open file lies by its true path.
        let directory = directory.canonicalize().map_err(|error| fail(directory, error))?;
        Ok(Disk { control, control_path, library, directory })
    }

    /// What a server needs in its environment to live on this disk.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        vec![
            ("LD_PRELOAD".into(), self.library.clone().into()),
            ("BULKHEAD_SHIM_CONTROL".into(), self.control_path.clone().into()),
            ("BULKHEAD_SHIM_DIRECTORY".into(), self.directory.clone().into()),
        ]
    }

    /// Whether the process lives on this disk.
    pub fn is_attached_to(&self, pid: u32) -> bool {
        self.read(ATTACHED) == pid
    }

    /// From now on such calls do not return, until [`Disk::heal`].
    pub fn hang(&self, operations: Operations) {
        self.order(HANG, operations, 0);
    }

    /// From now on such calls fail, until [`Disk::heal`].
    pub fn fail(&self, operations: Operations, failure: Failure) {
        self.order(FAIL, operations, failure.errno());
    }

    /// The next `count` syncs fail with EIO; what comes after them succeeds.
    pub fn fail_next_syncs(&self, count: u32) {
        self.write(FAILING_SYNCS, &count.to_ne_bytes());
    }

    /// From now on every call passes.
    pub fn heal(&self) {
        self.order(PASS, Operations(0), 0);
    }

    /// How many calls hang right now.
    pub fn held(&self) -> u32 {
        self.read(HELD)
    }

    /// How many calls have failed by order.
    pub fn failed(&self) -> u32 {
        self.read(FAILED)
    }

    /// The mode comes first in the file, so it is written last: no call may see it with the operations of another.
    fn order(&self, mode: u32, operations: Operations, errno: u32) {
        self.write(MODE + 1, &[operations.0.to_ne_bytes(), errno.to_ne_bytes()].concat());
        self.write(MODE, &mode.to_ne_bytes());
    }

    fn write(&self, field: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, field * 4).expect("a few bytes of a file that is there");
    }

    fn read(&self, field: u64) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, field * 4).expect("a few bytes of a file that is there");
        u32::from_ne_bytes(bytes)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.heal();
    }
}
