//! Configuration: from files and flags to a typed [`Config`], and its life under CONFIG GET, SET and REWRITE.
//!
//! The way of a directive: a row of [`DIRECTIVES`] says what it takes and means; [`Invocation::parse`] reads command
//! line and files into [`Settings`], one canonical value per row; [`Settings::config`] checks the whole and derives
//! [`Config`], which the rest of the server obeys; [`LiveConfig`] holds both while the server runs.
//!
//! This room is on the shelf: everyone may use it, and it uses nothing but `limits` and `glob`. It must never read the
//! machine it runs on (see [`Machine`]), open a file, print, or keep a second list of directives.

mod directive;
mod error;
mod invocation;
mod live;
mod manual;
mod model;
mod settings;
mod table;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use directive::{Change, Directive, Meaning};
pub use error::{Cause, ConfigError, ConfigErrors, ConfigSetError, NoConfigFile, Origin};
pub use invocation::{ConfigFiles, Invocation, Loaded};
pub use live::{LiveConfig, Pairs};
pub use manual::{REDIS_VERSION, help, sample_config, version};
pub use model::*;
pub use settings::Settings;
pub use table::{DIRECTIVES, find};
pub use text::split_words;
pub use value::{Kind, Value};
