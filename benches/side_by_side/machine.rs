//! The machine's size and the versions compared, which every published figure needs beside it.

use std::process::Command;

pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let model = field("/proc/cpuinfo", "model name");
    let memory_kb = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or_default();
    let memory_gib = memory_kb.div_ceil(1 << 20);
    let version = env!("CARGO_PKG_VERSION");
    format!("{cores} cores ({model}), {memory_gib} GiB, Bulkhead {version}, {}", redis_version())
}

/// `Redis server v=7.0.15 sha=…` → `redis-server 7.0.15`.
fn redis_version() -> String {
    let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let output = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let output = String::from_utf8_lossy(&output).into_owned();
    format!("redis-server {}", output.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?"))
}

/// The first `name: value` of a file.
fn field(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.unwrap_or("?").trim().to_string()
}
