//! Chaos: the real binary on a real disk, harmed from outside, and a ledger of what it had acknowledged.
//!
//! | file | what it does |
//! |---|---|
//! | [`kill9`] | writers, SIGKILL in mid-load, restart, audit, again |
//! | [`ceiling`] | more load than can be served, clients that never read, and a bound on memory |
//! | [`stall`] | the stall benchmark: writers, probes, a disk that hangs or an engine that stops |
//! | [`probe`], [`plot`] | requests at a fixed rate and how long they took; a picture of that |
//! | [`shim`] | a disk that hangs or fails by order |
//! | [`siege`] | a server, its writers and their ledger while the disk is harmed |
//! | [`tmpfs`] | a small file system that can be full |
//! | [`writer`], [`audit`] | a client that writes what the ledger can check; the check |
//! | [`ledger`] | what was acknowledged and what is in doubt; whether the data found can be true |
//! | [`process`] | the server as a child process |
//! | [`client`] | a blocking connection |
//!
//! Nothing here may use the server's code but for RESP and seeded chance: what is tested is what operators run.

pub mod audit;
pub mod ceiling;
pub mod client;
pub mod kill9;
pub mod ledger;
pub mod plot;
pub mod probe;
pub mod process;
pub mod shim;
pub mod siege;
pub mod stall;
pub mod tmpfs;
pub mod writer;
