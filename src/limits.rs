//! Every fixed limit of the server, by name, in one place: what a client, a file or a peer may ask of us at most.
//!
//! Limits that an operator may want to move are directives (see [`crate::config`]); the ones here are part of the
//! protocol or protect the process itself. Nothing may be sized by a number from outside that was not held against a
//! limit first, and nobody may write such a number anywhere but here.

use std::time::Duration;

// ---- Reading from a socket ----------------------------------------------------------------------------------------

/// Bytes of one inline command or of one protocol header line; longer ones close the connection (Redis:
/// `PROTO_INLINE_MAX_SIZE`).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments of one command: what a multibulk header may announce. Redis accepts 2³¹ − 1 and allocates as it goes.
pub const ARGUMENTS_MAX: usize = 1024 * 1024;
/// Arguments of one command before the connection has authenticated (Redis 7.0.15 has the same two).
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// Bytes of one argument before the connection has authenticated.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;
/// Depth of nested aggregates in anything decoded: a loop, never a recursion, bounds the stack as well.
pub const NESTING_MAX: usize = 128;
/// Bytes asked of the socket at once while only small commands arrive (Redis: `PROTO_IOBUF_LEN`).
pub const READ_CHUNK_BYTES: usize = 16 * 1024;
/// Bytes asked of the socket at once in the middle of a large argument, so that a megabyte is not 64 system calls.
pub const READ_CHUNK_LARGE_BYTES: usize = 256 * 1024;

/// Bytes of undecoded input at which a connection is not read from any more, until its pipeline has moved on.
pub const INPUT_PAUSE_BYTES: usize = 256 * 1024;
/// Bytes of unsent replies at which a connection is neither read from nor served any more, until its client reads.
pub const OUTPUT_PAUSE_BYTES: usize = 256 * 1024;

// ---- One request across the channel -------------------------------------------------------------------------------

/// Commands of one pipeline that cross to the storage runtime as one message; what is left over is the next message.
pub const REQUEST_OPERATIONS_MAX: usize = 1024;
/// Bytes of arguments of one message. A single larger command still crosses, alone.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// A request that provably had no effect is sent again after a random part of this, doubled each time …
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(4);
/// … up to this.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// The longest pause of the circuit breaker between two probes.
pub const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the writer looks whether the engine takes writes again.
pub const STALL_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// For how long after a refusal writes wait in the engine, instead of being tried without waiting.
pub const SLOW_WRITES_FOR: Duration = Duration::from_secs(1);
/// How often requests past their deadline are looked for, in milliseconds: a deadline is met this exactly.
pub const DEADLINE_SWEEP_MS: u64 = 10;

/// Bytes of replies after which the rest of a pipeline waits until the client has read them.
pub const REPLY_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of a record that is kept in the cache of records: larger ones would push out many small ones, and copying them
/// would hold up a network thread.
pub const CACHED_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Connections that may wait for room in a full channel; the next one's request is refused (R3.2).
pub const CHANNEL_WAITERS_MAX: usize = 4096;
/// Requests that the first reader takes at once.
pub const READ_BATCH: usize = 64;
/// Reads that may wait for a reader that may wait for the disk.
pub const PATIENT_QUEUE: usize = 1024;

// ---- Background work ----------------------------------------------------------------------------------------------

/// Expired keys removed in one group.
pub const EXPIRE_BATCH: usize = 256;
/// Flushed databases are reclaimed every so many housekeeping rounds.
pub const RECLAIM_EVERY_TICKS: u64 = 10;
/// Entries of a dead object that are deleted one by one; larger ones are left to compaction.
pub const RECLAIM_SMALL_ENTRIES: usize = 2048;
/// Entries of dead objects that are looked at in one housekeeping round.
pub const RECLAIM_ENTRIES: usize = 4096;
/// Large dead objects that are looked for, whether compaction has dropped them, in one round of reclaiming.
pub const RECLAIM_CHECKS: usize = 4;
/// Keys of a flushed database that are looked at in one round, where its large collections have to be found one by one.
pub const RECLAIM_KEYS: usize = 1024;
/// How often the engine is asked for its figures.
pub const ENGINE_STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// A storage thread that panicked is started again after this, doubled each time …
pub const THREAD_RESTART_PAUSE_MIN: Duration = Duration::from_millis(100);
/// … up to this …
pub const THREAD_RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);
/// … and so often in a row; then the server gives up and exits.
pub const THREAD_RESTARTS_MAX: u32 = 10;
/// Having run this long, a thread is healthy again: its next failure counts as the first.
pub const THREAD_RESTARTS_FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Threads of one place, the writer's or a reader's, that may hang at the same time, each with another in its place; the
/// next one that hangs is only reported.
pub const THREAD_SUBSTITUTES_MAX: usize = 4;
/// How often a new writer looks whether the old one, which storage was stopped without, has left the engine.
pub const SUCCESSION_INTERVAL: Duration = Duration::from_millis(10);
/// How often the watchdog looks: a quarter of its patience, but no more often than this …
pub const WATCHDOG_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// … and no less often than this.
pub const WATCHDOG_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How long a stop of storage waits for its threads, and for the engine to close.
pub const STORAGE_STOP_PATIENCE: Duration = Duration::from_secs(30);
/// An engine that failed for good is opened anew after this, doubled each time …
pub const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(500);
/// … up to this.
pub const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Served this long, an engine is healthy again: its next failure counts as the first.
pub const REOPEN_FORGIVEN_AFTER: Duration = Duration::from_secs(300);
/// Times in a row that an engine fails again without having served for that long; then the server gives up and exits.
pub const REOPENS_MAX: u32 = 16;
/// Attempts in a row to open an engine that had been open; then the server gives up and exits.
pub const REOPEN_ATTEMPTS_MAX: u32 = 8;
/// How long storage may take, once it is open, until all its threads run.
pub const STORAGE_START_PATIENCE: Duration = Duration::from_secs(10);
/// How often a stop looks whether the clients are gone.
pub const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long to wait after an accept error (out of file descriptors, mostly) before the next try.
pub const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A task that serves all connections and panicked is started again after this.
pub const NETWORK_TASK_RESTART_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether the disk's reserve is touched.
pub const RESERVE_INTERVAL: Duration = Duration::from_millis(100);
/// Unless `disk-reserve` says otherwise, a twentieth of the disk is kept free, but no less than this …
pub const DISK_RESERVE_MIN: u64 = 16 << 20;
/// … nor more than this.
pub const DISK_RESERVE_MAX: u64 = 1 << 30;
/// What the configuration holds for `disk-reserve auto`: no disk has so much to spare.
pub const DISK_RESERVE_AUTO: u64 = 1 << 60;
/// While the reserve is touched and something is deleted, memtables are written out this often.
pub const RESERVE_FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// Pacing holds the writer for no less than this, for a timer is not finer …
pub const PACE_PAUSE_MIN: Duration = Duration::from_millis(1);
/// … and no longer than this at once.
pub const PACE_PAUSE_MAX: Duration = Duration::from_millis(100);

// ---- Keyspace and clients -----------------------------------------------------------------------------------------

/// Logical databases: what `databases` may be set to. The on-disk key holds 16 bits of physical database number, and
/// FLUSHDB and SWAPDB need spare ones.
pub const DATABASES_MAX: u32 = 16_384;
/// Bytes of a collection that is stored within its key's record. Beyond about as many, writing all of it for a change of
/// one element costs more than an entry per element does.
pub const COLLECTION_INLINE_BYTES_MAX: usize = 1024;
/// Bytes of a string that is stored within its key's record; longer ones are stored in segments.
pub const STRING_INLINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a segment of a long string: what changing one bit of it costs.
pub const STRING_SEGMENT_BYTES: usize = 16 * 1024;
/// Bytes of a long string that a reader of short reads reads at most.
pub const STRING_SHORT_READ_BYTES: usize = 1024 * 1024;
/// Elements of such a collection (a field and its value are one).
pub const COLLECTION_INLINE_ELEMENTS_MAX: usize = 64;
/// A large collection is stored anew, without what its removed elements left behind, once these and so many for each of its
/// elements were removed; so a walk passes at most about so many remains. Fewer in tests, which have not the time to remove
/// so many.
pub const RENEW_REMOVED: u64 = if cfg!(test) { 16 } else { 256 };
pub const RENEW_REMOVED_PER_ELEMENT: u64 = if cfg!(test) { 0 } else { 2 };
/// That is done in steps, one each time so many elements were changed.
pub const RENEW_CHANGES: u32 = if cfg!(test) { 4 } else { 64 };
/// Elements that are stored anew for each that was changed since the last step: it has to come to an end.
pub const RENEW_ELEMENTS_PER_CHANGE: usize = 2;
/// Elements of a step at most, after a command that changed very many: they take the writer a few milliseconds.
pub const RENEW_ELEMENTS_MAX: usize = 1024;
/// Bytes of an element of a collection that is stored anew, on average at most: of larger ones the remains cost little beside
/// themselves.
pub const RENEW_ELEMENT_BYTES: usize = 1024;
/// Members that the record of a large sorted set lists at each of its ends. A length is one byte there.
pub const EDGE_KNOWN: usize = 16;
/// Bytes of a score and a member that is listed there.
pub const EDGE_KNOWN_BYTES: usize = 48;
/// Bytes of a score and a member beyond which nothing else lies.
pub const EDGE_HORIZON_BYTES: usize = 72;
/// Members removed from anywhere in a sorted set before it is looked where its outermost ones are now.
pub const EDGE_REMOVALS: u8 = if cfg!(test) { 4 } else { 64 };
/// Entries of a stream that were trimmed, and of a group that was destroyed, which are deleted with one change: they are out of
/// sight already.
pub const STREAM_SWEEP_ENTRIES: usize = if cfg!(test) { 4 } else { 512 };
/// Nodes whose entries `~` trims at once, unless LIMIT says otherwise (Redis has the same three) …
pub const STREAM_TRIM_NODES: u64 = 100;
/// … if nodes have no limit of entries, so many entries …
pub const STREAM_TRIM_ENTRIES: u64 = 10_000;
/// … and no more than this.
pub const STREAM_TRIM_ENTRIES_MAX: u64 = 1_000_000;
/// Bytes of an entry's fields and values (Redis: `STREAM_LISTPACK_MAX_SIZE`).
pub const STREAM_ENTRY_BYTES_MAX: usize = 1 << 30;
/// Entries that a client is given that had to wait for one and set no COUNT (Redis: `XREAD_BLOCKED_DEFAULT_COUNT`).
pub const STREAM_BLOCKED_COUNT: u64 = 1000;
/// Bytes of deleted ids that XAUTOCLAIM might have to list: a COUNT that comes to more is refused, as Redis refuses what its
/// memory could not hold. Nothing is set aside for it here.
pub const STREAM_CLAIM_BYTES: u64 = 1 << 47;
/// Elements of a collection that is copied at once, before they are written.
pub const COPY_ENTRIES: usize = 256;
/// Removed entries that no compaction has cleared away yet, which a reader of short reads passes in one step.
pub const HURRIED_SKIPS: u64 = 2000;
/// Elements of a collection that a reader of short reads does not go through, or look for, in one command.
pub const SHORT_WALK_ELEMENTS: u64 = 1000;
/// Elements that one command draws with repetitions, however small the collection. Redis goes on until its memory ends.
pub const DRAWS_MAX: u64 = 1 << 24;
/// Bytes of a client's name (CLIENT SETNAME): CLIENT LIST repeats the names of all clients in one reply.
pub const CLIENT_NAME_BYTES_MAX: usize = 1024;
/// Keys whose names DEBUG DIGEST holds at a time.
pub const DIGEST_KEYS: usize = 1024;
/// Random elements that PFSELFTEST adds: enough for every encoding, and no more than a fraction of a second.
pub const PFSELFTEST_ELEMENTS: u64 = 1 << 17;
/// Channels and patterns that one client may listen to.
pub const SUBSCRIPTIONS_MAX: usize = 1024 * 1024;
/// Bytes of monitored commands that may wait for one client, if `client-output-buffer-limit normal` sets no other limit.
pub const MONITOR_BYTES_MAX: u64 = 32 << 20;
/// How many keys blocked clients may wait for, all together.
pub const WAITED_KEYS_MAX: usize = 1024 * 1024;
/// Keys that all clients together may watch.
pub const WATCHED_KEYS_MAX: usize = 1024 * 1024;
/// Commands that may be queued between MULTI and EXEC.
pub const TRANSACTION_COMMANDS_MAX: usize = 1024 * 1024;
/// Keyspace notifications that may wait to be published; those of a commit that does not fit are dropped and counted.
pub const KEY_EVENTS_WAITING_MAX: usize = 1024 * 1024;
/// So many are published before others get their turn.
pub const KEY_EVENTS_BATCH: usize = 256;
/// Bytes of a value that RESTORE reads, once decompressed: LZF makes up to 88 bytes of one.
pub const RDB_VALUE_BYTES_MAX: usize = 1 << 30;
/// Distinct error codes counted by INFO errorstats: scripts can invent codes without end.
pub const ERROR_CODES_MAX: usize = 128;

// ---- Watching -----------------------------------------------------------------------------------------------------

/// How many equal short commands are timed as one.
pub const COMMANDS_TIMED_TOGETHER_MAX: u64 = 16;
/// How many arguments such a command has at most, its name included.
pub const SHORT_COMMAND_ARGUMENTS_MAX: usize = 8;
/// Arguments of one slow log entry; a note says how many were cut (Redis: `SLOWLOG_ENTRY_MAX_ARGC`).
pub const SLOWLOG_ARGUMENTS_MAX: usize = 32;
/// Bytes of one argument there (Redis: `SLOWLOG_ENTRY_MAX_STRING`).
pub const SLOWLOG_ARGUMENT_BYTES_MAX: usize = 128;
/// Seconds with a latency spike that are remembered of an event (Redis: `LATENCY_TS_LEN`).
pub const LATENCY_SAMPLES_MAX: usize = 160;
/// Changes of health that are remembered.
pub const HEALTH_CHANGES_MAX: usize = 128;
/// Seconds of the server's life that the status page can draw.
pub const HISTORY_SECONDS: usize = 600;
/// Connections to the health port at once; the next one is closed.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Bytes of one HTTP request, its headers included.
pub const HTTP_REQUEST_BYTES_MAX: usize = 8 * 1024;
/// How long an HTTP request may take to arrive, and its answer to leave.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(5);
/// Lines of the error log of one category and severity that pass at once …
pub const ERROR_LINES_BURST: u32 = 16;
/// … and then one in this time; the rest is counted.
pub const ERROR_LINE_INTERVAL: Duration = Duration::from_secs(1);
/// Log lines that may wait to be written; more are dropped and counted.
pub const LOG_LINES_WAITING_MAX: usize = 8192;
/// Bytes of a client's word that an error message repeats.
pub const ERROR_WORD_BYTES_MAX: usize = 128;

// ---- Configuration ------------------------------------------------------------------------------------------------

/// Depth of nested `include` lines, the main file not counted.
pub const INCLUDE_DEPTH_MAX: usize = 16;
/// Files read for one start, includes repeated or not: sixteen levels that include twice would be 65,536.
pub const INCLUDE_FILES_MAX: usize = 1024;
/// Addresses of one `bind` (Redis: `CONFIG_BINDADDR_MAX`).
pub const BIND_ADDRESSES_MAX: usize = 16;
/// Bytes of a Unix socket's path, without the NUL that ends `sun_path`.
pub const UNIX_SOCKET_PATH_BYTES_MAX: usize = 107;
/// Threads of one pool.
pub const THREADS_MAX: i64 = 256;
/// `hz` below or above these is taken as these, as in Redis.
pub const HZ_MIN: i64 = 1;
/// See [`HZ_MIN`].
pub const HZ_MAX: i64 = 500;

/// Stack of a thread that runs commands: scripts nest, in Lua and in what they call. Only what is used of it takes memory.
pub const ENGINE_THREAD_STACK_BYTES: usize = 16 << 20;

// ---- Scripts ------------------------------------------------------------------------------------------------------

/// Scripts that are remembered (EVALSHA). Past it the oldest that came by EVAL goes: its client finds out by NOSCRIPT, and
/// sends it again. What came by SCRIPT LOAD stays; another one is refused.
pub const SCRIPTS_MAX: usize = 4096;
/// Bytes of their texts, by the same rule.
pub const SCRIPTS_BYTES_MAX: usize = 64 << 20;
/// Bytes that one script may use.
pub const SCRIPT_MEMORY_BYTES_MAX: usize = 256 << 20;
/// An interpreter that holds more than this after a script tidies up.
pub const SCRIPT_MEMORY_KEPT_BYTES: usize = 16 << 20;
/// Instructions, and steps of other work, of one script: some seconds. Usually the time runs out first.
pub const SCRIPT_INSTRUCTIONS_MAX: u64 = 1_000_000_000;
/// So many pass before it is looked whether a script must end.
pub const SCRIPT_STEPS_UNWATCHED: u64 = 10_000;
/// How many items of a pattern may be open at the same time.
pub const SCRIPT_PATTERN_DEPTH_MAX: usize = 200;
/// Values that `unpack` gives at once.
pub const SCRIPT_UNPACKED_MAX: usize = 7_900;
/// Bytes of what a script returns.
pub const SCRIPT_REPLY_BYTES_MAX: usize = 256 << 20;
/// Tables within one another in what a script returns: no more than any client has to take.
pub const SCRIPT_REPLY_DEPTH_MAX: usize = NESTING_MAX;
/// Bytes that one script may write, for they are committed at once.
pub const SCRIPT_WRITTEN_BYTES_MAX: usize = 512 << 20;
/// Interpreters that are kept for the next script.
pub const SCRIPT_MACHINES_KEPT: usize = 8;
/// Tables within one another in JSON that scripts write or read.
pub const SCRIPT_JSON_DEPTH_MAX: usize = 1000;
