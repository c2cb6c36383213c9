//! What a command is: the one table row from which arity checks, routing, key positions, ACL categories, COMMAND,
//! COMMAND DOCS, the README's table, the simulation's workload, the fuzz grammar and the example sweep derive.
//!
//! The words and their meaning are Redis' (its `COMMAND` and `COMMAND DOCS` replies). Nothing here does anything.

use super::context::Session;
use super::{CommandError, Next, Operation};
use crate::resp::{CommandArgs, ReplyBuffer};

/// One command, or one subcommand of a container command. Rows are `static`s beside the command's code.
#[derive(Debug)]
pub struct Command {
    /// Lower case; of a subcommand only its own word (`getname`, not `client|getname`).
    pub name: &'static str,
    pub group: Group,
    pub summary: &'static str,
    /// The Redis version that introduced it.
    pub since: &'static str,
    pub complexity: &'static str,
    /// Arguments including the name (and, for subcommands, the container's); negative: at least so many.
    pub arity: i32,
    pub flags: &'static [Flag],
    /// ACL categories beyond the ones that follow from flags (see [`Command::acl_categories`]), as Redis lists them.
    pub categories: &'static [&'static str],
    /// Command tips (`nondeterministic_output` …).
    pub tips: &'static [&'static str],
    pub keys: &'static [KeySpec],
    /// COMMAND DOCS' flags beyond `deprecated`, which the next field implies.
    pub doc_flags: &'static [&'static str],
    /// (version since when it is, what to use instead)
    pub deprecated: Option<(&'static str, &'static str)>,
    /// (version, what changed)
    pub history: &'static [(&'static str, &'static str)],
    pub arguments: &'static [Argument],
    pub subcommands: &'static [&'static Command],
    /// A transcript as redis-cli prints it: lines that begin with `> ` are sent to a fresh server, the lines after
    /// them are the expected reply; a line `...` stands for any rest of a reply. The sweep in `tests/commands.rs` runs
    /// it, and fails for a command without one (containers excepted).
    pub examples: &'static str,
    pub run: Run,
}

impl Command {
    /// The defaults of the fields that most commands leave alone, for `..Command::BASE`.
    pub const BASE: Command = Command {
        name: "",
        group: Group::Generic,
        summary: "",
        since: "1.0.0",
        complexity: "O(1)",
        arity: -1,
        flags: &[],
        categories: &[],
        tips: &[],
        keys: &[],
        doc_flags: &[],
        deprecated: None,
        history: &[],
        arguments: &[],
        subcommands: &[],
        examples: "",
        run: Run::Container,
    };

    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether `count` arguments (name included) satisfy the arity.
    pub fn accepts(&self, count: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= least } else { count == least }
    }

    /// Whether the storage writer, rather than a reader, must run it. PFCOUNT counts as a read to clients and yet stores
    /// the estimate in its key, which its key specification says.
    pub fn writes(&self) -> bool {
        self.has(Flag::Write) || self.keys.iter().any(|spec| spec.flags.contains(&"RW"))
    }

    /// Whether MONITOR shows it: what operators do is none of anybody's business. Redis shows scripts in spite of their flag.
    pub fn is_shown_to_monitors(&self) -> bool {
        let is_script = matches!(self.run, Run::Script(_));
        (is_script || !self.has(Flag::SkipMonitor)) && !self.has(Flag::Admin)
    }

    /// ACL categories with their `@`, in Redis' order of derivation: those of the flags, then the row's own.
    pub fn acl_categories(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        let mut add = |condition: bool, name: &'static str| {
            if condition && !names.contains(&name) {
                names.push(name);
            }
        };
        add(self.has(Flag::Write), "@write");
        // Redis: a read-only command is in @read unless it is a scripting one.
        add(self.has(Flag::Readonly) && !self.categories.contains(&"@scripting"), "@read");
        add(self.has(Flag::Admin), "@admin");
        add(self.has(Flag::Admin), "@dangerous");
        add(self.has(Flag::Pubsub), "@pubsub");
        add(self.has(Flag::Fast), "@fast");
        add(self.has(Flag::Blocking), "@blocking");
        for category in self.categories {
            add(true, category);
        }
        add(!self.has(Flag::Fast), "@slow");
        names
    }
}

/// Where a command runs.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Nowhere: only its subcommands do.
    Container,
    /// In the connection, at the moment it is decoded, even while earlier commands of the pipeline are still with the
    /// storage runtime: for commands that look at and change nothing but their own session (PING, SELECT, HELLO …).
    /// Replies still leave in order.
    Session(NetworkHandler),
    /// In the connection, once everything it sent before has been answered: for commands that look at or change
    /// anything shared (INFO, CONFIG, CLIENT LIST …).
    Server(NetworkHandler),
    /// In the storage runtime: on a reader, or on the writer if the row is flagged [`Flag::Write`] or another command
    /// of the same pipeline is. The function parses on the network side and does no work.
    Storage(fn(&CommandArgs) -> Result<Box<dyn Operation>, CommandError>),
    /// As [`Run::Storage`], of a command that needs its server and its client there, too: those of scripts, which may call
    /// almost any other.
    Script(ScriptParser),
}

impl Run {
    /// What storage is to run of a call by the client of `session`; `None`: nothing, or what only the handler knows.
    pub fn operation(self, session: &Session, args: &CommandArgs) -> Option<Result<Box<dyn Operation>, CommandError>> {
        match self {
            Run::Storage(parse) => Some(parse(args)),
            Run::Script(parse) => Some(parse(session, args)),
            Run::Container | Run::Session(_) | Run::Server(_) => None,
        }
    }
}

/// Parses a command for a client whose server it will need.
pub type ScriptParser = fn(&Session, &CommandArgs) -> Result<Box<dyn Operation>, CommandError>;

/// Runs a command on the network side: writes its reply, or fails and the error becomes the reply.
pub type NetworkHandler = fn(&mut Session, &CommandArgs, &mut ReplyBuffer) -> Result<Next, CommandError>;

/// COMMAND DOCS' group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    Hyperloglog,
    List,
    Pubsub,
    Scripting,
    Sentinel,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    pub fn name(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::Hyperloglog => "hyperloglog",
            Group::List => "list",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Sentinel => "sentinel",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

/// COMMAND's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Write,
    Readonly,
    Denyoom,
    Admin,
    Pubsub,
    Noscript,
    Blocking,
    Loading,
    Stale,
    SkipMonitor,
    SkipSlowlog,
    Asking,
    Fast,
    NoAuth,
    MayReplicate,
    NoMandatoryKeys,
    NoAsyncLoading,
    NoMulti,
    Movablekeys,
    AllowBusy,
    Module,
}

impl Flag {
    pub fn name(self) -> &'static str {
        match self {
            Flag::Write => "write",
            Flag::Readonly => "readonly",
            Flag::Denyoom => "denyoom",
            Flag::Admin => "admin",
            Flag::Pubsub => "pubsub",
            Flag::Noscript => "noscript",
            Flag::Blocking => "blocking",
            Flag::Loading => "loading",
            Flag::Stale => "stale",
            Flag::SkipMonitor => "skip_monitor",
            Flag::SkipSlowlog => "skip_slowlog",
            Flag::Asking => "asking",
            Flag::Fast => "fast",
            Flag::NoAuth => "no_auth",
            Flag::MayReplicate => "may_replicate",
            Flag::NoMandatoryKeys => "no_mandatory_keys",
            Flag::NoAsyncLoading => "no_async_loading",
            Flag::NoMulti => "no_multi",
            Flag::Movablekeys => "movablekeys",
            Flag::AllowBusy => "allow_busy",
            Flag::Module => "module",
        }
    }
}

/// Where a command's keys are (Redis 7 key specifications).
#[derive(Debug, Clone, Copy)]
pub struct KeySpec {
    /// `RW`, `RO`, `OW`, `RM`, then `access`, `update`, `insert`, `delete`, `variable_flags` …, as COMMAND INFO lists.
    pub flags: &'static [&'static str],
    pub begin: BeginSearch,
    pub find: FindKeys,
    pub notes: &'static str,
}

/// Where the search for keys begins.
#[derive(Debug, Clone, Copy)]
pub enum BeginSearch {
    Index(usize),
    /// After the given word, searched from `start_from` (negative: from the end, backwards).
    Keyword {
        keyword: &'static str,
        start_from: i32,
    },
    Unknown,
}

/// How keys follow from where the search began.
#[derive(Debug, Clone, Copy)]
pub enum FindKeys {
    /// `last`: relative to the beginning (negative: from the end of the arguments); every `step`; `limit`: 0 no limit,
    /// 2 the first half, and so on.
    Range {
        last: i32,
        step: i32,
        limit: i32,
    },
    /// The number of keys stands at `key_num_index`, the first at `first_key`, both relative to the beginning.
    KeyNum {
        key_num_index: usize,
        first_key: usize,
        step: usize,
    },
    Unknown,
    /// No rule that clients could be told (COMMAND INFO says `unknown`), but this function knows.
    Search(fn(&CommandArgs) -> Vec<usize>),
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn one(index: usize, flags: &'static [&'static str]) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys whose number is an argument at `at`, and which follow it (ZUNION's numkeys).
    pub const fn counted(at: usize, flags: &'static [&'static str]) -> KeySpec {
        let find = FindKeys::KeyNum { key_num_index: 0, first_key: 1, step: 1 };
        KeySpec { flags, begin: BeginSearch::Index(at), find, notes: "" }
    }

    /// Keys that follow the word STREAMS, which is looked for from argument `start_from` on: the first half of what does.
    pub const fn streams(start_from: i32, flags: &'static [&'static str]) -> KeySpec {
        let begin = BeginSearch::Keyword { keyword: "STREAMS", start_from };
        KeySpec { flags, begin, find: FindKeys::Range { last: -1, step: 1, limit: 2 }, notes: "" }
    }

    /// Keys from argument `index` on: `last` relative to it, or from the end when negative.
    pub const fn range(index: usize, last: i32, step: i32, flags: &'static [&'static str]) -> KeySpec {
        KeySpec { flags, begin: BeginSearch::Index(index), find: FindKeys::Range { last, step, limit: 0 }, notes: "" }
    }
}

/// An argument, as COMMAND DOCS describes it; the grammar from which tests generate calls.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    pub name: &'static str,
    pub kind: ArgumentKind,
    /// Of a key: which [`KeySpec`] it belongs to.
    pub key_spec: Option<usize>,
    pub token: Option<&'static str>,
    pub summary: Option<&'static str>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    /// The token is repeated with every value.
    pub multiple_token: bool,
    /// Of [`ArgumentKind::OneOf`] and [`ArgumentKind::Block`].
    pub arguments: &'static [Argument],
}

/// COMMAND DOCS' argument types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgumentKind {
    pub fn name(self) -> &'static str {
        match self {
            ArgumentKind::String => "string",
            ArgumentKind::Integer => "integer",
            ArgumentKind::Double => "double",
            ArgumentKind::Key => "key",
            ArgumentKind::Pattern => "pattern",
            ArgumentKind::UnixTime => "unix-time",
            ArgumentKind::PureToken => "pure-token",
            ArgumentKind::OneOf => "oneof",
            ArgumentKind::Block => "block",
        }
    }
}

impl Argument {
    pub const fn new(name: &'static str, kind: ArgumentKind) -> Argument {
        Argument {
            name,
            kind,
            key_spec: None,
            token: None,
            summary: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            arguments: &[],
        }
    }

    pub const fn key(name: &'static str, key_spec: usize) -> Argument {
        Argument { key_spec: Some(key_spec), ..Argument::new(name, ArgumentKind::Key) }
    }

    pub const fn string(name: &'static str) -> Argument {
        Argument::new(name, ArgumentKind::String)
    }

    pub const fn integer(name: &'static str) -> Argument {
        Argument::new(name, ArgumentKind::Integer)
    }

    pub const fn double(name: &'static str) -> Argument {
        Argument::new(name, ArgumentKind::Double)
    }

    pub const fn flag(name: &'static str, token: &'static str) -> Argument {
        Argument::new(name, ArgumentKind::PureToken).token(token)
    }

    pub const fn one_of(name: &'static str, arguments: &'static [Argument]) -> Argument {
        Argument { arguments, ..Argument::new(name, ArgumentKind::OneOf) }
    }

    pub const fn block(name: &'static str, arguments: &'static [Argument]) -> Argument {
        Argument { arguments, ..Argument::new(name, ArgumentKind::Block) }
    }

    pub const fn token(self, token: &'static str) -> Argument {
        Argument { token: Some(token), ..self }
    }

    pub const fn since(self, version: &'static str) -> Argument {
        Argument { since: Some(version), ..self }
    }

    pub const fn deprecated_since(self, version: &'static str) -> Argument {
        Argument { deprecated_since: Some(version), ..self }
    }

    pub const fn summary(self, summary: &'static str) -> Argument {
        Argument { summary: Some(summary), ..self }
    }

    pub const fn optional(self) -> Argument {
        Argument { optional: true, ..self }
    }

    pub const fn multiple(self) -> Argument {
        Argument { multiple: true, ..self }
    }

    pub const fn multiple_token(self) -> Argument {
        Argument { multiple_token: true, ..self }
    }
}
