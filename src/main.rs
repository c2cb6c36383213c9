//! `bulkhead-server`: command line → configuration → the real environment → [`bulkhead::server::run`].
//!
//! The main thread drives start-up, signals and stop on a small runtime of its own, so that it outlives both of the
//! server's. Nothing else happens here.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bulkhead::config::{self, Invocation, LiveConfig, Loaded};
use bulkhead::env::{ShutdownRequest, real};
use bulkhead::failpoints;
use bulkhead::observe::start_logging;

/// One allocator for Rust and RocksDB: under RocksDB's load it keeps the resident size much lower than the system's.
#[cfg(feature = "rocks")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut files = |path: &Path| read(path);
    match Invocation::parse(std::env::args_os().skip(1), &real::machine(), &mut files) {
        Ok(Invocation::Serve(loaded)) => serve(*loaded),
        Ok(Invocation::CheckConfig(loaded)) => {
            loaded.without_effect_notice().into_iter().for_each(|notice| println!("{notice}"));
            println!("The configuration is good.");
            ExitCode::SUCCESS
        }
        Ok(Invocation::SampleConfig) => print(&config::sample_config()),
        Ok(Invocation::Version) => print(&config::version()),
        Ok(Invocation::Help) => print(&config::help()),
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    println!("{}", text.trim_end());
    ExitCode::SUCCESS
}

fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

fn serve(loaded: Loaded) -> ExitCode {
    let env = real::env();
    let clock = env.clock.clone();
    let log = match start_logging(&loaded.config, move || clock.unix_time()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("the log could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "Bulkhead starting");
    if let Some(notice) = loaded.without_effect_notice() {
        tracing::warn!("{notice}");
    }
    failpoints::arm_from_environment();
    let shutdown = Arc::new(ShutdownRequest::default());
    let config = Arc::new(LiveConfig::new(loaded));
    let pid_file = config.current().process.pid_file.clone();
    if let Some(path) = &pid_file
        && let Err(error) = std::fs::write(path, format!("{}\n", std::process::id()))
    {
        // As Redis: whoever wants the file will miss it; clients will not.
        tracing::warn!(path = %path.display(), %error, "the pidfile could not be written");
    }
    let reloaded = config.clone();
    let server = bulkhead::server::run(env, config, shutdown.clone());
    let code = match real::block_on(shutdown, || reloaded.request_reload(), server) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            tracing::error!("{error}");
            eprintln!("bulkhead-server: {error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bulkhead-server: the main thread's runtime could not be started: {error}");
            ExitCode::FAILURE
        }
    };
    if let Some(path) = pid_file {
        // It may be gone already.
        let _ = std::fs::remove_file(path);
    }
    drop(log);
    code
}
