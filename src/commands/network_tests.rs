//! Clients in miniature, for the tests of commands that run on the network side: sessions of a server that has both
//! runtimes but no listener and no storage. Replies are compared as redis-cli prints them.

use std::path::Path;
use std::sync::Arc;

use super::{CommandError, Flag, Next, Run, Session};
use crate::config::{Invocation, LiveConfig, Machine};
use crate::engine::memory::{MemoryDisk, MemoryEngine};
use crate::env::{ShutdownRequest, real};
use crate::keyspace::DatabaseMap;
use crate::resp::{CommandArgs, ReplyBuffer, Value};
use crate::runtime::RuntimeManager;

/// One client. All that stem from one [`TestClient::new`] have the same server.
pub struct TestClient {
    pub session: Session,
    /// It was told to close.
    pub closed: bool,
    manager: Arc<RuntimeManager>,
}

impl TestClient {
    pub fn new() -> TestClient {
        TestClient::with_config("")
    }

    /// With a server that was started with a file.
    pub fn with_file(path: &Path) -> TestClient {
        TestClient::started_with(path, &std::fs::read_to_string(path).unwrap())
    }

    /// With a server configured by these lines.
    pub fn with_config(text: &str) -> TestClient {
        TestClient::started_with(Path::new("-"), text)
    }

    fn started_with(path: &Path, text: &str) -> TestClient {
        let machine = Machine { cores: 1, memory_bytes: 1 << 30 };
        let mut files = |_: &Path| Ok(text.to_string());
        let Ok(Invocation::Serve(loaded)) = Invocation::parse([path], &machine, &mut files) else {
            panic!("not a configuration: {text}");
        };
        let config = Arc::new(LiveConfig::new(*loaded));
        let manager = RuntimeManager::new(real::env(), config, Arc::new(ShutdownRequest::default())).unwrap();
        crate::engine::thread::mark_engine_thread();
        let databases = DatabaseMap::load(&*MemoryEngine::open(MemoryDisk::new()).unwrap(), 16).unwrap();
        manager.server().databases.store(Arc::new(databases));
        TestClient::connect(Arc::new(manager))
    }

    /// Another client of the same server.
    pub fn another(&self) -> TestClient {
        TestClient::connect(self.manager.clone())
    }

    fn connect(manager: Arc<RuntimeManager>) -> TestClient {
        let server = manager.server().clone();
        let port = 50_000 + server.clients.len();
        let now = server.env.clock.now();
        let client = server.clients.connect(format!("127.0.0.1:{port}"), "127.0.0.1:6379".into(), now);
        TestClient { session: Session::new(server, client), closed: false, manager }
    }

    /// Runs a command as it is typed into redis-cli; nothing if it has no reply.
    pub fn run(&mut self, line: &str) -> String {
        let mut encoded = self.encoded(line);
        if encoded.is_empty() {
            return String::new();
        }
        let value = Value::decode(&mut encoded).unwrap().expect("a complete reply");
        assert!(encoded.is_empty(), "{line}: more than one reply");
        value.to_string()
    }

    /// As [`TestClient::run`], and the reply as it is sent.
    pub fn encoded(&mut self, line: &str) -> bytes::BytesMut {
        let args = CommandArgs::from_line(line.as_bytes()).unwrap();
        let mut reply = ReplyBuffer::new(self.session.protocol);
        match self.call(&args, &mut reply) {
            Ok(Next::Done | Next::Pushed) => {}
            Ok(Next::Close | Next::Shutdown) => self.closed = true,
            Ok(Next::Exec(..) | Next::Storage(_)) => panic!("{line} needs a connection"),
            Ok(Next::Wait(future)) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                reply.append_raw(&runtime.block_on(future));
            }
            Err(error) => {
                reply.rollback(0);
                reply.error(error.to_string());
            }
        }
        reply.into_bytes()
    }

    fn call(&mut self, args: &CommandArgs, reply: &mut ReplyBuffer) -> Result<Next, CommandError> {
        let call = self.session.server.commands.resolve(args)?;
        if !self.session.authenticated && !call.command.has(Flag::NoAuth) {
            return Err(CommandError::NoAuth);
        }
        match call.command.run {
            Run::Session(handler) | Run::Server(handler) => handler(&mut self.session, args, reply),
            _ => panic!("{} does not run on the network side", call.full_name()),
        }
    }

    /// Runs commands and compares their replies.
    pub fn check(&mut self, exchanges: &[(&str, &str)]) {
        for (line, expected) in exchanges {
            assert_eq!(self.run(line), *expected, "reply to {line}");
        }
    }
}
