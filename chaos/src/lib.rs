//! Chaos: the real binary on a real disk, harmed from outside, and a ledger of what it had acknowledged.
//!
//! | file | what it does |
//! |---|---|
//! | [`kill9`] | writers, SIGKILL in mid-load, restart, audit, again |
//! | [`ledger`] | what was acknowledged and what is in doubt; whether the data found can be true |
//! | [`process`] | the server as a child process |
//! | [`client`] | a blocking connection |
//!
//! Nothing here may use the server's code but for RESP and seeded chance: what is tested is what operators run.

pub mod audit;
pub mod client;
pub mod kill9;
pub mod ledger;
pub mod process;
pub mod shim;
pub mod writer;
