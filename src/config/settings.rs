//! The values of all directives, and the step from "what was said" to "what it means": [`Settings::config`].
//!
//! Values enter only through their row's parser, so each is valid alone; what must hold between them is checked here,
//! all of it, before a [`Config`] exists. Nothing here reads, applies or reports anything.

use super::directive::{Directive, Meaning};
use super::error::Cause;
use super::model::{Config, Machine};
use super::table::{self, DIRECTIVES};
use super::value::{Before, Value};
use crate::limits::UNIX_SOCKET_PATH_BYTES_MAX;

/// One value per row of [`DIRECTIVES`], in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    values: Vec<Value>,
}

impl Settings {
    /// What holds where nothing is said.
    pub fn defaults() -> Settings {
        Settings { values: DIRECTIVES.iter().map(Directive::default_value).collect() }
    }

    /// The value of the row at a place that [`table::find`] gave.
    pub fn value(&self, index: usize) -> &Value {
        &self.values[index]
    }

    /// Gives a row the value of some words. On an error nothing has changed.
    pub fn set(&mut self, index: usize, words: &[&[u8]], repeated: bool) -> Result<(), Cause> {
        let before = Before { value: &self.values[index], repeated };
        self.values[index] = DIRECTIVES[index].parse(words, before)?;
        Ok(())
    }

    /// The rows whose values differ.
    pub fn changed_since(&self, earlier: &Settings) -> Vec<&'static Directive> {
        let rows = DIRECTIVES.iter().zip(self.values.iter().zip(&earlier.values));
        rows.filter(|(_, (now, then))| now != then).map(|(row, _)| row).collect()
    }

    /// What the values mean on a machine, or everything that does not fit together, each with the directive to mend.
    pub fn config(&self, machine: &Machine) -> Result<Config, Vec<(&'static str, Cause)>> {
        let mut config = Config::default();
        for (row, value) in DIRECTIVES.iter().zip(&self.values) {
            let Meaning::Active(_, apply) = row.meaning else { continue };
            match (value, row.auto) {
                (Value::Auto, Some(of)) => apply(&mut config, &of(machine)),
                (value, _) => apply(&mut config, value),
            }
        }
        // Redis changes into `dir` first and opens these afterwards.
        let dir = &config.storage.dir;
        for path in [&mut config.network.unix_socket, &mut config.log.file, &mut config.process.pid_file] {
            *path = path.take().map(|path| dir.join(path));
        }
        let conflicts = self.conflicts(&config);
        if conflicts.is_empty() { Ok(config) } else { Err(conflicts) }
    }

    /// What each directive allows, and all of them together do not.
    fn conflicts(&self, config: &Config) -> Vec<(&'static str, Cause)> {
        let Config { network, runtime, storage, commands, monitoring, .. } = config;
        let rocksdb = &storage.rocksdb;
        let mut found = Vec::new();
        let mut forbid = |conflict: bool, directive: &'static str, text: String| {
            if conflict {
                found.push((directive, Cause::Conflict(text)));
            }
        };

        let listens = (network.port != 0 && !network.bind.is_empty()) || network.unix_socket.is_some();
        forbid(!listens, "port", "nothing to listen on: set port and bind, or unixsocket".into());
        let path_bytes = network.unix_socket.as_ref().map_or(0, |path| path.as_os_str().len());
        forbid(
            path_bytes > UNIX_SOCKET_PATH_BYTES_MAX,
            "unixsocket",
            format!(
                "longer, together with dir, than the {UNIX_SOCKET_PATH_BYTES_MAX} bytes that a socket's path may have"
            ),
        );
        forbid(
            monitoring.health_port != 0 && monitoring.health_port == network.port,
            "health-port",
            "must not be the same as port".into(),
        );
        forbid(
            runtime.batch_size > runtime.channel_capacity,
            "batch-size",
            format!("can't be larger than channel-capacity, which is {}", runtime.channel_capacity),
        );
        forbid(
            runtime.batch_bytes_max > runtime.channel_bytes_max,
            "batch-max-bytes",
            format!("can't be larger than channel-max-bytes, which is {}", runtime.channel_bytes_max),
        );
        // RocksDB would silently raise the higher two.
        let (compact, slow, stop) = (
            rocksdb.level0_file_num_compaction_trigger,
            rocksdb.level0_slowdown_writes_trigger,
            rocksdb.level0_stop_writes_trigger,
        );
        forbid(
            compact > slow,
            "rocksdb.level0_slowdown_writes_trigger",
            format!("can't be lower than rocksdb.level0_file_num_compaction_trigger, which is {compact}"),
        );
        forbid(
            slow > stop,
            "rocksdb.level0_stop_writes_trigger",
            format!("can't be lower than rocksdb.level0_slowdown_writes_trigger, which is {slow}"),
        );
        // A cache that is relied on to forget must not grow without end.
        let evicts = *self.named("maxmemory-policy") != Value::Word("noeviction");
        forbid(
            evicts && *self.named("maxmemory") != Value::Memory(0),
            "maxmemory-policy",
            "not supported by this version of Bulkhead: evicting keys. Set maxmemory-policy to noeviction, or \
             maxmemory to 0 if the data may grow as large as the disk"
                .into(),
        );
        for (place, rename) in commands.renames.iter().enumerate() {
            let earlier = &commands.renames[..place];
            let again = earlier.iter().any(|other| other.from == rename.from);
            forbid(again, "rename-command", format!("'{}' is renamed twice", rename.from));
            let taken = !rename.to.is_empty() && earlier.iter().any(|other| other.to == rename.to);
            forbid(taken, "rename-command", format!("two commands are renamed to '{}'", rename.to));
        }
        found
    }

    /// The value of a row that is known to exist.
    fn named(&self, name: &'static str) -> &Value {
        let (index, _) = table::find(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not in the table"));
        &self.values[index]
    }
}
