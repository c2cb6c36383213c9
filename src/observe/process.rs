//! What the kernel says of this process: memory, processor time, open files.
//!
//! It reads a few lines of `/proc/self`, which the kernel makes up on the spot: no disk is involved, but it takes a tenth of a
//! millisecond, so it is read now and then, and whoever asks gets the last reading. Where a figure cannot be had it is 0;
//! nobody may depend on one.

use std::collections::BTreeMap;
use std::time::Duration;

/// A reading of the process' own accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// Resident memory that is ours alone: what was allocated and touched, without mapped files.
    pub anonymous_bytes: u64,
    /// Resident memory, the pages of mapped files (our own code) included.
    pub resident_bytes: u64,
    /// The most that was ever resident.
    pub resident_bytes_max: u64,
    pub threads: u64,
    /// Open file descriptors (Linux 6.2 and later say).
    pub open_files: u64,
    /// The most that may be open.
    pub open_files_max: u64,
    pub cpu_user: Duration,
    pub cpu_system: Duration,
    /// Of ended child processes.
    pub cpu_user_children: Duration,
    pub cpu_system_children: Duration,
}

/// The processor time of a pool of threads: all whose names differ in a number at their end only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// `net`, `sto-writer`, `sto-reader`, `rocksdb:low` …
    pub name: String,
    pub threads: u64,
    pub cpu_user: Duration,
    pub cpu_system: Duration,
}

impl PoolUsage {
    /// Reads the accounts of all threads, by name of their pool: two files for each thread, so not for a network thread.
    pub fn read_all() -> Vec<PoolUsage> {
        let mut pools: BTreeMap<String, PoolUsage> = BTreeMap::new();
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        for thread in threads {
            // A thread that ended meanwhile has no name any more.
            let Ok(name) = std::fs::read_to_string(thread.path().join("comm")) else { continue };
            let mut usage = ProcessUsage::default();
            usage.apply_stat(&std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
            let name = pool_name(name.trim_end());
            let pool =
                pools.entry(name.into()).or_insert_with(|| PoolUsage { name: name.into(), ..Default::default() });
            pool.threads += 1;
            pool.cpu_user += usage.cpu_user;
            pool.cpu_system += usage.cpu_system;
        }
        pools.into_values().collect()
    }
}

/// `net` of `net-12`, `rocksdb:low` of `rocksdb:low3`.
fn pool_name(thread: &str) -> &str {
    let name = thread.trim_end_matches(|char: char| char.is_ascii_digit());
    match name.strip_suffix('-').unwrap_or(name) {
        "" => thread,
        name => name,
    }
}

/// What does not change while the process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Physical memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The path of the program.
    pub executable: String,
}

impl HostFacts {
    pub fn read() -> HostFacts {
        HostFacts {
            memory_bytes: machine_memory_bytes(),
            kernel: read("/proc/sys/kernel/osrelease").trim_end().to_string(),
            executable: std::env::current_exe().unwrap_or_default().display().to_string(),
        }
    }
}

/// The soft limit of a file of limits.
fn open_files_max(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(0)
}

/// Physical memory of the machine, in bytes.
pub fn machine_memory_bytes() -> u64 {
    kilobytes(&read("/proc/meminfo"), "MemTotal:")
}

impl ProcessUsage {
    /// Reads the accounts: three system calls or so for each of four files.
    pub fn read() -> ProcessUsage {
        let mut usage = ProcessUsage::default();
        usage.apply_status(&read("/proc/self/status"));
        usage.apply_stat(&read("/proc/self/stat"));
        usage.open_files_max = open_files_max(&read("/proc/self/limits"));
        usage.open_files = std::fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
        usage
    }

    fn apply_status(&mut self, status: &str) {
        self.anonymous_bytes = kilobytes(status, "RssAnon:");
        self.resident_bytes = kilobytes(status, "VmRSS:");
        // The kernel gathers the figures per thread and sums them up now and then: a peak may lag behind.
        self.resident_bytes_max = kilobytes(status, "VmHWM:").max(self.resident_bytes);
        self.threads = field(status, "Threads:");
    }

    fn apply_stat(&mut self, stat: &str) {
        // The process' name, in parentheses, may hold spaces and parentheses itself: fields are counted after the last.
        let Some((_, fields)) = stat.rsplit_once(')') else { return };
        let mut ticks = fields.split_ascii_whitespace().skip(11).map(|ticks| ticks.parse().unwrap_or(0));
        // A tick of these accounts is 10 ms for every user of `/proc`, whatever the kernel's own timer.
        let mut next = || Duration::from_millis(10 * ticks.next().unwrap_or(0u64));
        self.cpu_user = next();
        self.cpu_system = next();
        self.cpu_user_children = next();
        self.cpu_system_children = next();
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number that follows `name` in a file of `name: value` lines.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn kilobytes(text: &str, name: &str) -> u64 {
    field(text, name) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_process_is_called() {
        let mut usage = ProcessUsage::default();
        usage.apply_status(
            "Name:\tx\nVmHWM:\t   9000 kB\nVmRSS:\t    8000 kB\nRssAnon:\t    5000 kB\nThreads:\t7\nVmSwap:\t0 kB\n",
        );
        usage.apply_stat("12 (a) b ) S 1 12 12 0 -1 4194304 100 0 0 0 250 75 3 4 20 0 7 0 5678\n");
        assert_eq!((usage.anonymous_bytes, usage.resident_bytes), (5_120_000, 8_192_000));
        assert_eq!((usage.resident_bytes_max, usage.threads), (9_216_000, 7));
        assert_eq!((usage.cpu_user, usage.cpu_system), (Duration::from_millis(2500), Duration::from_millis(750)));
        let children = (usage.cpu_user_children, usage.cpu_system_children);
        assert_eq!(children, (Duration::from_millis(30), Duration::from_millis(40)));
    }

    #[test]
    fn what_cannot_be_read_is_zero() {
        let mut usage = ProcessUsage::default();
        usage.apply_status("");
        usage.apply_stat("nonsense");
        assert_eq!(usage, ProcessUsage::default());
    }

    #[test]
    fn pools_are_named_after_their_threads() {
        for (thread, pool) in
            [("net-12", "net"), ("rocksdb:low3", "rocksdb:low"), ("sto-writer", "sto-writer"), ("7", "7")]
        {
            assert_eq!(pool_name(thread), pool);
        }
        let pools = PoolUsage::read_all();
        assert!(pools.iter().map(|pool| pool.threads).sum::<u64>() > 0);
        assert_eq!(open_files_max("Max cpu time  unlimited unlimited s\nMax open files   1024    4096  files\n"), 1024);
    }

    #[test]
    fn a_living_process_uses_memory() {
        let usage = ProcessUsage::read();
        assert!(usage.anonymous_bytes > 0 && usage.resident_bytes >= usage.anonymous_bytes, "{usage:?}");
        assert!(usage.resident_bytes_max >= usage.resident_bytes && usage.threads > 0, "{usage:?}");
        assert!(usage.open_files_max > 0);
        let HostFacts { memory_bytes, kernel, executable } = HostFacts::read();
        assert!(memory_bytes > usage.resident_bytes && !kernel.is_empty() && executable.starts_with('/'));
    }
}
