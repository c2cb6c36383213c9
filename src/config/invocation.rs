//! The command line: what the process is asked to do, and the configuration it is to do it with.
//!
//! `bulkhead-server [file | -] [--directive value …]`: a file in redis.conf's syntax, then flags, which are lines of
//! that file by another road and win over it. Files are read through [`ConfigFiles`], so that a test or a simulation
//! needs no disk. Every error is collected; nothing is printed, applied or opened here.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::error::{Cause, ConfigError, ConfigErrors, Origin};
use super::model::{Config, Machine};
use super::settings::Settings;
use super::table::{self, DIRECTIVES};
use super::text::split_words;
use crate::limits;

/// Where configuration text comes from. A closure that reads a file will do; then `include` takes no patterns.
pub trait ConfigFiles {
    /// The text of a file; `-` is standard input.
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// The names of the entries of a directory, for `include conf.d/*.conf`.
    fn list(&mut self, _directory: &Path) -> io::Result<Vec<OsString>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "patterns can't be used here"))
    }
}

impl<F: FnMut(&Path) -> io::Result<String>> ConfigFiles for F {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self(path)
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with this configuration.
    Serve(Box<Loaded>),
    /// Say that the configuration is good (a bad one is an error), and what of it has no effect; then exit.
    CheckConfig(Box<Loaded>),
    /// Print [`super::sample_config`] and exit.
    SampleConfig,
    /// Print [`super::version`] and exit.
    Version,
    /// Print [`super::help`] and exit.
    Help,
}

/// A configuration that was read without an error.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub settings: Settings,
    pub machine: Machine,
    /// The file named on the command line: what CONFIG REWRITE rewrites.
    pub file: Option<PathBuf>,
    /// The directives that were given and that this server has no use for, by name, sorted.
    pub without_effect: Vec<&'static str>,
    /// What was read, to read it again.
    pub(super) line: CommandLine,
}

impl Loaded {
    /// The one line for the log about directives that were given and have no effect, if there are any.
    pub fn without_effect_notice(&self) -> Option<String> {
        let names = self.without_effect.join(", ");
        (!names.is_empty()).then(|| format!("These directives are accepted but have no effect in Bulkhead: {names}"))
    }
}

impl Invocation {
    /// Reads a command line, without the program's own name.
    pub fn parse(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        machine: &Machine,
        files: &mut dyn ConfigFiles,
    ) -> Result<Invocation, ConfigErrors> {
        let arguments: Vec<Vec<u8>> = arguments.into_iter().map(|argument| argument.into().into_vec()).collect();
        let line = CommandLine::split(&arguments)?;
        match line.action {
            Some(Action::Help) => Ok(Invocation::Help),
            Some(Action::Version) => Ok(Invocation::Version),
            Some(Action::SampleConfig) => Ok(Invocation::SampleConfig),
            Some(Action::CheckConfig) => line.load(machine, files).map(Box::new).map(Invocation::CheckConfig),
            None => line.load(machine, files).map(Box::new).map(Invocation::Serve),
        }
    }
}

// ---- The command line ---------------------------------------------------------------------------------------------

/// A flag that is no directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    CheckConfig,
    SampleConfig,
    Version,
    Help,
}

/// The flags that are no directives: their spellings and what they do.
pub(super) const ACTIONS: &[(Action, &[&str], &str)] = &[
    (Action::CheckConfig, &["--check-config"], "Read the configuration, report every error in it, and exit."),
    (Action::SampleConfig, &["--sample-config"], "Print a configuration file with every directive, and exit."),
    (Action::Version, &["-v", "--version"], "Print the version and exit."),
    (Action::Help, &["-h", "--help"], "Print this and exit."),
];

fn action(argument: &[u8]) -> Option<Action> {
    let spelled = |spellings: &[&str]| spellings.iter().any(|spelling| spelling.as_bytes() == argument);
    ACTIONS.iter().find(|(_, spellings, _)| spelled(spellings)).map(|(action, ..)| *action)
}

/// A command line, split but not understood.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandLine {
    action: Option<Action>,
    file: Option<PathBuf>,
    standard_input: bool,
    /// Directives and their values, in order.
    flags: Vec<Vec<Vec<u8>>>,
}

impl CommandLine {
    /// Redis' rules: the first argument is a file unless it begins with `-`; `-` first or last is standard input; a
    /// flag owns what follows it up to the next `--`, and its first value may itself begin with `--`.
    fn split(arguments: &[Vec<u8>]) -> Result<CommandLine, ConfigErrors> {
        let mut line = CommandLine::default();
        let mut strays = Vec::new();
        for (place, argument) in arguments.iter().enumerate() {
            let (first, last) = (place == 0, place + 1 == arguments.len());
            let is_flag = argument.starts_with(b"--");
            if is_flag {
                line.end_save();
            }
            if let Some(flag) = line.flags.last_mut().filter(|flag| flag.len() == 1) {
                flag.push(argument.clone());
            } else if argument == b"-" && (first || last) {
                line.standard_input = true;
            } else if let Some(action) = action(argument).filter(|_| is_flag || line.flags.is_empty()) {
                line.action.get_or_insert(action);
            } else if is_flag {
                match split_words(&argument[2..]) {
                    Some(words) if !words.is_empty() => line.flags.push(words),
                    _ => strays.push(argument),
                }
            } else if let Some(flag) = line.flags.last_mut() {
                flag.push(argument.clone());
            } else if first && !argument.starts_with(b"-") {
                line.file = Some(PathBuf::from(OsStr::from_bytes(argument)));
            } else {
                strays.push(argument);
            }
        }
        line.end_save();
        if strays.is_empty() {
            return Ok(line);
        }
        let stray = |argument: &Vec<u8>| ConfigError {
            origin: Origin::Flag,
            directive: String::from_utf8_lossy(argument).into_owned(),
            cause: Cause::NotAFlag,
        };
        Err(ConfigErrors(strays.into_iter().map(stray).collect()))
    }

    /// Reads the files that it names, and its flags.
    pub(super) fn load(&self, machine: &Machine, files: &mut dyn ConfigFiles) -> Result<Loaded, ConfigErrors> {
        Loader::load(self, machine, files)
    }

    /// A `--save` that nothing follows says `--save ""`: so do scripts that build a command line from an empty list.
    fn end_save(&mut self) {
        if let Some(flag) = self.flags.last_mut().filter(|flag| matches!(&flag[..], [name] if name == b"save")) {
            flag.push(Vec::new());
        }
    }
}

// ---- Reading files and flags ---------------------------------------------------------------------------------------

/// A configuration being read: keeps going past errors, so that one start reports them all.
struct Loader<'a> {
    files: &'a mut dyn ConfigFiles,
    settings: Settings,
    /// Where each row was last given.
    given: Vec<Option<Origin>>,
    errors: Vec<ConfigError>,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
    files_read: usize,
}

impl Loader<'_> {
    fn load(line: &CommandLine, machine: &Machine, files: &mut dyn ConfigFiles) -> Result<Loaded, ConfigErrors> {
        let mut loader = Loader {
            files,
            settings: Settings::defaults(),
            given: vec![None; DIRECTIVES.len()],
            errors: Vec::new(),
            open: Vec::new(),
            files_read: 0,
        };
        let standard_input = line.standard_input.then(|| PathBuf::from("-"));
        for path in line.file.iter().chain(&standard_input) {
            loader.read_file(path).unwrap_or_else(|cause| loader.fail(Origin::Whole, b"", cause));
        }
        for flag in &line.flags {
            loader.read_words(Origin::Flag, flag);
        }
        loader.finish(machine, line)
    }

    /// Reads one file, and the files that it includes where it includes them.
    fn read_file(&mut self, path: &Path) -> Result<(), Cause> {
        if self.open.iter().any(|open| open == path) {
            return Err(Cause::IncludeLoop(path.into()));
        }
        if self.open.len() > limits::INCLUDE_DEPTH_MAX {
            return Err(Cause::IncludeTooDeep);
        }
        if self.files_read == limits::INCLUDE_FILES_MAX {
            return Err(Cause::TooManyFiles);
        }
        self.files_read += 1;
        let unreadable = |error: io::Error| Cause::Unreadable { path: path.into(), error: error.to_string() };
        let text = self.files.read(path).map_err(unreadable)?;
        self.open.push(path.into());
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_ascii();
            if line.starts_with('#') {
                continue;
            }
            let origin = Origin::File { path: path.into(), line: number + 1 };
            match split_words(line.as_bytes()) {
                Some(words) => self.read_words(origin, &words),
                None => self.fail(origin, b"", Cause::UnbalancedQuotes),
            }
        }
        self.open.pop();
        Ok(())
    }

    /// Takes one line, or one flag with its values.
    fn read_words(&mut self, origin: Origin, words: &[Vec<u8>]) {
        let Some((name, values)) = words.split_first() else { return };
        let result = if name.eq_ignore_ascii_case(b"include") {
            self.include(values)
        } else if let Some((index, _)) = table::find(name) {
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let set = self.settings.set(index, &values, self.given[index].is_some());
            self.given[index] = Some(origin.clone());
            set
        } else {
            Err(Cause::Unknown { nearest: table::nearest(name) })
        };
        result.unwrap_or_else(|cause| self.fail(origin, name, cause));
    }

    fn include(&mut self, values: &[Vec<u8>]) -> Result<(), Cause> {
        let [path] = values else { return Err(Cause::WrongNumberOfArguments) };
        let path = Path::new(OsStr::from_bytes(path));
        let pattern =
            path.file_name().map(OsStr::as_bytes).filter(|name| name.iter().any(|byte| b"*?[".contains(byte)));
        let Some(pattern) = pattern else { return self.read_file(path) };

        // A pattern that matches nothing is no error: an empty conf.d is a usual thing.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unreadable = |error: io::Error| Cause::Unreadable { path: path.into(), error: error.to_string() };
        let names: BTreeSet<OsString> = self.files.list(directory).map_err(unreadable)?.into_iter().collect();
        let hidden_asked = pattern.starts_with(b".");
        for name in names.iter().map(|name| name.as_bytes()) {
            if name.starts_with(b".") == hidden_asked && crate::glob::matches(pattern, name) {
                self.read_file(&directory.join(OsStr::from_bytes(name)))?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, origin: Origin, directive: &[u8], cause: Cause) {
        let directive = String::from_utf8_lossy(directive).into_owned();
        self.errors.push(ConfigError { origin, directive, cause });
    }

    /// The whole, once all is read. What does not fit together is looked for only among values that are valid alone.
    fn finish(mut self, machine: &Machine, line: &CommandLine) -> Result<Loaded, ConfigErrors> {
        match self.settings.config(machine) {
            Ok(config) if self.errors.is_empty() => {
                let rows = DIRECTIVES.iter().zip(&self.given);
                let idle = rows.filter(|(row, given)| given.is_some() && row.has_no_effect());
                let mut without_effect: Vec<&'static str> = idle.map(|(row, _)| row.name).collect();
                without_effect.sort_unstable();
                return Ok(Loaded {
                    config,
                    settings: self.settings,
                    machine: *machine,
                    file: line.file.clone(),
                    without_effect,
                    line: line.clone(),
                });
            }
            Err(conflicts) if self.errors.is_empty() => {
                for (name, cause) in conflicts {
                    let given = table::find(name.as_bytes()).and_then(|(index, _)| self.given[index].clone());
                    self.fail(given.unwrap_or(Origin::Whole), name.as_bytes(), cause);
                }
            }
            _ => {}
        }
        Err(ConfigErrors(self.errors))
    }
}
