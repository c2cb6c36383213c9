//! The composition root: one whole server in one environment, from start to stop. `main` and the simulation both call
//! [`run`]; there is no other way to put the rooms together.

use std::sync::Arc;

use crate::config::LiveConfig;
use crate::env::{Env, ShutdownRequest};
use crate::observe::SAMPLE_INTERVAL;
use crate::runtime::{RuntimeManager, StartError};

/// Runs a server until `shutdown` is requested, from outside or by a client.
pub async fn run(env: Env, config: Arc<LiveConfig>, shutdown: Arc<ShutdownRequest>) -> Result<(), StartError> {
    let mut manager = RuntimeManager::new(env.clone(), config, shutdown.clone())?;
    manager.start().await?;
    for address in manager.addresses() {
        tracing::info!(%address, "listening");
    }
    tracing::info!("Ready to accept connections");
    let server = manager.server().clone();
    loop {
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            () = server.storage_restart.notified() => {
                tracing::info!("restarting storage");
                if let Err(error) = manager.restart_storage().await {
                    manager.stop().await;
                    return Err(error);
                }
                tracing::info!(health = ?manager.health(), "storage restarted");
            }
            () = env.clock.sleep(SAMPLE_INTERVAL) => server.stats.sample(env.clock.now()),
        }
    }
    tracing::info!("stopping: answering what is in flight");
    manager.stop().await;
    tracing::info!("bye");
    Ok(())
}
